package configs

import (
	"strings"
	"testing"
)

func TestWhatIsSecretInATextIsMasked(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://user:hunter2@host:5432/db?sslmode=require": "postgres://user:••••@host:5432/db?sslmode=require",
		"postgres://user:hun%ter2@host/db":                     "postgres://user:••••@host/db",
		"postgres://user:hun/te@r2@host/db":                    "postgres://user:••••@host/db",
		"postgres://host/db?user=u&password=hunter2&sslmode=a": "postgres://host/db?user=u&password=••••&sslmode=a",
		"host=h user=u password=hunter2 dbname=d":              "host=h user=u password=•••• dbname=d",
		"host=h password = 'hunter2 x' dbname=d":               "host=h password = •••• dbname=d",
		"redis://:hunter2@host:6379":                           "redis://:••••@host:6379",
		"https://hunter2@host/v1":                              "https://••••@host/v1",
		"https://host/v1?api_key=hunter2":                      "https://host/v1?api_key=••••",
		"postgres://server@host/db":                            "postgres://server@host/db",
		"http://host:8080/v1":                                  "http://host:8080/v1",
		"127.0.0.1:3284":                                       "127.0.0.1:3284",
		"mock-1":                                               "mock-1",
	} {
		if got := withoutPassword(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestWhatAKeyIsCalledHidesItsValue(t *testing.T) {
	for key, want := range map[string]bool{
		"key_pepper": true, "api_key": true, "token": true, "password": true, "secret_key": true, "headers": true, "env": true, "signing_secret": true,
		"key_file": false, "tokens": false, "max_tokens": false, "user": false, "driver": false, "issuer": false,
	} {
		if isSecret(key) != want {
			t.Errorf("%s: hidden is %v", key, !want)
		}
	}
	c := &Config{tree: &node{fields: map[string]*node{}}}
	c.tree.set([]string{"identity", "key_pepper"}, scalar("hunter2", "x"))
	if text := c.Print(true); strings.Contains(text, "hunter2") || !strings.Contains(text, "(len 7)") {
		t.Errorf("shown is %s", text)
	}
}

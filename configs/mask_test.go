package configs

import (
	"strings"
	"testing"
)

func TestASecretWithinATextIsMasked(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://user:p@ss/w:ord@host:5432/db?sslmode=require": "postgres://user:••••@host:5432/db?sslmode=require",
		"postgres://user:%zz@host/db":                             "postgres://user:••••@host/db",
		"postgres://user@host/db":                                 "postgres://user@host/db",
		"host=db user=u password='two words' dbname=d":            "host=db user=u password=•••• dbname=d",
		"https://ghp_token@example.com/x":                         "https://••••@example.com/x",
		"https://example.com/v1?key=AIza1&alt=sse":                "https://example.com/v1?key=••••&alt=sse",
		"https://example.com/v1?access_token=a@b&x=1":             "https://example.com/v1?access_token=••••&x=1",
		"--api-key=abc":               "--api-key=••••",
		"http://127.0.0.1:4011/a@b":   "http://127.0.0.1:4011/a@b",
		"anthropic/claude-sonnet-4.5": "anthropic/claude-sonnet-4.5",
		"monkey=1":                    "monkey=1",
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
		"":                                                     "",
	} {
		if got := withoutSecrets(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func TestWhichKeysHoldSecrets(t *testing.T) {
	for key, want := range map[string]bool{
		"api_key": true, "key_pepper": true, "service_role_key": true, "headers": true, "client_secret": true,
		"password": true, "secret_key": true, "env": true,
		"user": false, "issuer": false, "key_file": false, "tokens": false, "max_tokens": false, "monkey": false, "driver": false,
	} {
		if secretKey(key) != want {
			t.Errorf("%s is a secret's: %v", key, !want)
		}
	}
}

func TestASecretIsNotPrinted(t *testing.T) {
	c := &Config{tree: &node{fields: map[string]*node{}}}
	c.tree.set([]string{"identity", "key_pepper"}, scalar("hunter2", "x"))
	if text := c.Print(true); strings.Contains(text, "hunter2") || !strings.Contains(text, "(len 7)") {
		t.Errorf("shown is %s", text)
	}
}

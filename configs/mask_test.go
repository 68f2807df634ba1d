package configs

import "testing"

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
		"":                            "",
	} {
		if got := withoutSecrets(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func TestWhichKeysHoldSecrets(t *testing.T) {
	for key, want := range map[string]bool{
		"api_key": true, "key_pepper": true, "service_role_key": true, "headers": true, "client_secret": true,
		"key_file": false, "tokens": false, "max_tokens": false, "monkey": false, "driver": false,
	} {
		if secretKey(key) != want {
			t.Errorf("%s is a secret's: %v", key, !want)
		}
	}
}

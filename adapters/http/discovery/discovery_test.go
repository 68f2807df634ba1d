package discovery

import "testing"

func TestMetadataIsWhereTheClientCalls(t *testing.T) {
	for host, want := range map[string]string{
		"api.example.com":      "https://api.example.com" + Path,
		"api.example.com:8443": "https://api.example.com:8443" + Path,
		"127.0.0.1:8080":       "http://127.0.0.1:8080" + Path,
		"[::1]:8080":           "http://[::1]:8080" + Path,
		"localhost":            "http://localhost" + Path,
		"":                     "",
		`a", error="b`:         "", // nobody writes into the header
		"a b":                  "",
	} {
		if got := Metadata(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

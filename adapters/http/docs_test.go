package http_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// The page refers to nothing but what this server serves, and may ask nothing else.
func TestThePageOfTheDescriptionNeedsThisServerOnly(t *testing.T) {
	h := open(t)
	page := h.do(t, http.MethodGet, "/docs", "", "Authorization", "")
	policy := map[string]string{}
	for rule := range strings.SplitSeq(page.header.Get("Content-Security-Policy"), "; ") {
		name, what, _ := strings.Cut(rule, " ")
		policy[name] = what
	}
	for name, want := range map[string]string{"default-src": "'none'", "script-src": "'self'", "connect-src": "'self'", "frame-ancestors": "'none'"} {
		if policy[name] != want {
			t.Errorf("%s is %q", name, policy[name])
		}
	}
	start := h.do(t, http.MethodGet, "/docs/start.js", "", "Authorization", "")
	referred := regexp.MustCompile(`(?:src|href)="([^"]*)"|url: "([^"]*)"`).FindAllStringSubmatch(page.body+start.body, -1)
	if len(referred) < 4 {
		t.Errorf("only %v is referred to", referred)
	}
	for _, m := range referred {
		to := m[1] + m[2]
		if to == "data:," {
			continue
		}
		if a := h.do(t, http.MethodGet, "/"+to, "", "Authorization", ""); strings.Contains(to, ":") || a.status != http.StatusOK {
			t.Errorf("the page refers to %s: %d", to, a.status)
		}
	}
	if text := page.body + start.body; strings.Contains(text, "//") && regexp.MustCompile(`https?://`).MatchString(text) || strings.Contains(page.body, "<style") || regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(page.body) {
		t.Errorf("the page has what its policy forbids: %s", text)
	}
}

func TestTheDescriptionIsServedInBothSpellings(t *testing.T) {
	h := open(t)
	var texts []any
	for path, mime := range map[string]string{"/openapi.json": "application/json", "/openapi.yaml": "application/yaml"} {
		a := h.do(t, http.MethodGet, path, "", "Authorization", "")
		if a.status != http.StatusOK || a.header.Get("Content-Type") != mime {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		var v any
		if err := yaml.Unmarshal([]byte(a.body), &v); err != nil { // JSON is YAML, too
			t.Fatal(err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Error("the spellings say different things")
	}
}

func TestWhatIsDescribedComesCompressedOrNotAndOnce(t *testing.T) {
	h := open(t)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(client.CloseIdleConnections)
	get := func(method, path, accept, tag string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", accept)
		if tag != "" {
			req.Header.Set("If-None-Match", tag)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, text
	}
	for _, path := range []string{"/openapi.json", "/openapi.yaml", "/llms.txt", "/docs", "/docs/start.js", "/docs/reference.js"} {
		_, plain := get(http.MethodGet, path, "identity", "")
		for accept, packs := range map[string]bool{"gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "br": false, "": false} {
			resp, text := get(http.MethodGet, path, accept, "")
			if packed := resp.Header.Get("Content-Encoding") == "gzip"; packed != packs {
				t.Errorf("%s with %q: packed %t", path, accept, packed)
			} else if packed {
				r, err := gzip.NewReader(bytes.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				if text, err = io.ReadAll(r); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(text, plain) {
				t.Errorf("%s with %q is another text", path, accept)
			}
			tag := resp.Header.Get("ETag")
			for _, has := range []string{tag, strings.TrimPrefix(tag, "W/"), `"x", ` + tag, "*"} {
				if again, text := get(http.MethodGet, path, accept, has); again.StatusCode != http.StatusNotModified || len(text) > 0 || again.Header.Get("ETag") != tag {
					t.Errorf("%s, by who has %s: %d", path, has, again.StatusCode)
				}
			}
			if other, _ := get(http.MethodGet, path, accept, `"x"`); other.StatusCode != http.StatusOK {
				t.Errorf("%s, by who has another: %d", path, other.StatusCode)
			}
		}
		if head, text := get(http.MethodHead, path, "gzip", ""); head.StatusCode != http.StatusOK || len(text) > 0 {
			t.Errorf("HEAD %s: %d", path, head.StatusCode)
		}
	}
}

// What is not ours is what docs/NOTICE.md says that it is.
func TestTheProgramOfThePageIsTheOneThatIsNamed(t *testing.T) {
	packed, err := os.ReadFile("docs/reference.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		bytes []byte
		want  string
	}{
		"dist/browser/standalone.js": {text, "81b8d2bdab4a42ab81465386441b9a0f928b68631364360f00e8cce620cc1efb"},
		"reference.js.gz":            {packed, "afe0c62c380bd46e3fa5563e0e9488bbd295364b8b898f4833aa9a12815c24ac"},
	} {
		if sum := sha256.Sum256(c.bytes); hex.EncodeToString(sum[:]) != c.want {
			t.Errorf("the SHA-256 of %s is %x", what, sum)
		}
	}
}

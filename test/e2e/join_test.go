package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// A client repeats a stream that runs, and then the first one leaves: the second
// has every byte of it.
func TestARunningStreamIsJoined(t *testing.T) {
	const config = "agents:\n  demo: {driver: demo, demo: {delay: 20ms}}\n"
	for name, env := range map[string]func(t *testing.T) []string{
		"in SQLite": func(*testing.T) []string { return nil },
		"in Postgres": func(t *testing.T) []string {
			_, env := migrated(t, postgres.Shared(t))
			return env
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := kit.Start(t, kit.Options{Config: config, Env: env(t)})
			open := func() *http.Response {
				t.Helper()
				resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", "hi"), "Idempotency-Key", "k")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { resp.Body.Close() })
				if resp.StatusCode != http.StatusOK {
					t.Fatalf("got %d", resp.StatusCode)
				}
				return resp
			}
			first := open()
			begun := make([]byte, 300)
			if _, err := io.ReadFull(first.Body, begun); err != nil {
				t.Fatal(err)
			}
			second, third := open(), open()
			first.Body.Close()
			joined := whole(t, second)
			if !strings.HasPrefix(joined, string(begun)) || !strings.HasSuffix(joined, "data: [DONE]\n\n") || strings.Contains(joined, `"error"`) {
				t.Errorf("began with %s\ngot %s", begun, joined)
			}
			if got := whole(t, third); got != joined {
				t.Errorf("got %s\nand %s", joined, got)
			}
			if second.Header.Get("Idempotent-Replayed") == "" || second.Header.Get("X-Agentapi-Session-Id") != first.Header.Get("X-Agentapi-Session-Id") {
				t.Errorf("the headers are %v", second.Header)
			}
			if got := whole(t, open()); got != joined { // a replay, now
				t.Errorf("got %s\nand %s", joined, got)
			}
			if all := listSessions(t, s); len(all) != 1 || all[0].Messages != 2 {
				t.Errorf("stored are %+v", all)
			}
		})
	}
}

// whole reads a stream to its end.
func whole(t *testing.T, resp *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnSDKsOwnRetriesAreAnsweredOnceWhereThatIsAskedFor(t *testing.T) {
	for _, on := range []bool{true, false} {
		config := ""
		if on {
			config = "compat: {dedupe_sdk_retries: true}\n"
		}
		s := kit.Start(t, kit.Options{Config: config})
		first := s.Chat(t, kit.Ask("demo/echo", "hi"), "X-Stainless-Retry-Count", "0")
		again := s.Chat(t, kit.Ask("demo/echo", "hi"), "X-Stainless-Retry-Count", "1")
		anew := s.Chat(t, kit.Ask("demo/echo", "hi"), "X-Stainless-Retry-Count", "0")
		if same := first.Body == again.Body; first.Status != http.StatusOK || same != on || first.Body == anew.Body {
			t.Errorf("switched on %v: got %s, %s and %s", on, first.Body, again.Body, anew.Body)
		}
	}
}

package main

import (
	"errors"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"agentapi/test/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }

func TestOurServerHasAllThatIsChecked(t *testing.T) {
	t.Parallel()
	s := kit.Start(t, kit.Options{Config: "storage: {driver: memory}\nlimits: {user: {requests_per_minute: 600, tokens_per_minute: 100000}}\n"})
	var out strings.Builder
	failed := run(t.Context(), &out, &api{base: s.URL + "/v1", key: kit.Token, model: "demo/echo", tools: "demo/tools", client: s.Client()})
	if failed != 0 || !strings.Contains(out.String(), ", 0 failed, 0 not applicable") {
		t.Error(out.String())
	}
}

// The upstream of the tests has no tools, ends every stream with a usage that nobody asked
// for, and breaks off when it is told to.
func TestWhatAServerHasNotIsSaid(t *testing.T) {
	t.Parallel()
	bare := map[string]string{
		"an answer has a request id": "FAIL", "a stream's framing": "FAIL", "a stream's usage": "FAIL", "a tool is called": "FAIL", "a tool is called in a stream": "FAIL",
		"models are listed": "pass", "an answer in one piece": "pass", "error: broken JSON is 400": "pass", "error: no messages is 400": "pass",
		"error: an unknown model is 404": "FAIL", "limits are told": "n/a", "where an answer is from is told": "n/a", "a repetition gets the first answer": "n/a",
		"a key is for one request": "n/a", "a stream goes on where it was left": "n/a",
	}
	for _, mode := range []string{"ok", "cut", "nofinish", "garbage", "500"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			up := kit.NewUpstream(t, mode)
			out, err := exec.CommandContext(t.Context(), kit.Program(t, "agentapi/test/conformance"), "-url", up.URL).Output()
			if ended, ok := errors.AsType[*exec.ExitError](err); !ok || ended.ExitCode() != 1 {
				t.Errorf("ended with %v", err)
			}
			got := map[string]string{}
			for _, m := range regexp.MustCompile(`(?m)^\| (.*?) \| (pass|FAIL|n/a) \|`).FindAllStringSubmatch(string(out), -1) {
				got[m[1]] = m[2]
			}
			if len(got) != len(checks) {
				t.Errorf("%d checks are reported, of %d\n%s", len(got), len(checks), out)
			}
			for name, result := range got {
				if want, ok := bare[name]; mode == "ok" && ok && result != want {
					t.Errorf("%s: %s", name, result)
				}
			}
			if got["models are listed"] != "pass" || mode != "ok" && got["a stream's framing"] != "FAIL" {
				t.Errorf("%s", out)
			}
		})
	}
}

func TestAStreamIsHeldToItsFramingByteByByte(t *testing.T) {
	t.Parallel()
	const piece = `{"id":"c","choices":[]}`
	for name, c := range map[string]struct {
		stream string
		ids    []string // nil: it is refused
	}{
		"one event":                {"data: " + piece + "\n\ndata: [DONE]\n\n", []string{""}},
		"ids and comments":         {": hello\n\nid: c.1\ndata: " + piece + "\n\n: still here\n\nid: c.2\ndata: " + piece + "\n\ndata: [DONE]\n\n", []string{"c.1", "c.2"}},
		"no end":                   {"data: " + piece + "\n\n", nil},
		"nothing but an end":       {"data: [DONE]\n\n", nil},
		"no empty line at the end": {"data: " + piece + "\n\ndata: [DONE]\n", nil},
		"one line end between":     {"data: " + piece + "\ndata: [DONE]\n\n", nil},
		"carriage returns":         {"data: " + piece + "\r\n\r\ndata: [DONE]\n\n", nil},
		"no blank":                 {"data:" + piece + "\n\ndata: [DONE]\n\n", nil},
		"a named event":            {"event: message\ndata: " + piece + "\n\ndata: [DONE]\n\n", nil},
		"no JSON":                  {"data: hello\n\ndata: [DONE]\n\n", nil},
		"something behind":         {"data: " + piece + "\n\ndata: [DONE]\n\ndata: " + piece + "\n\n", nil},
	} {
		all, err := read([]byte(c.stream))
		var ids []string
		for _, event := range all {
			ids = append(ids, event.eventID)
		}
		if !slices.Equal(ids, c.ids) || (err == nil) != (c.ids != nil) {
			t.Errorf("%s: %q, %v", name, ids, err)
		}
	}
}

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"agentapi/test/kit"
)

// sight is what a client must see of a primary that fails in some way.
type sight struct {
	agent    string // who answers; empty: nobody
	attempts int
	code     string // of the error, within the stream or in place of an answer
	status   int
}

// ways are the ways in which a primary fails, and what clients see then, of whole
// answers and of streams.
func waysToFail() map[string]struct{ whole, stream sight } {
	next := sight{agent: "two", attempts: 2, status: 200}
	both := func(o sight) struct{ whole, stream sight } { return struct{ whole, stream sight }{o, o} }
	midway := func(code string) struct{ whole, stream sight } {
		return struct{ whole, stream sight }{next, sight{attempts: 1, status: 200, code: code}}
	}
	return map[string]struct{ whole, stream sight }{
		"refuses": both(next), "hang": both(next), "reset": both(next), "garbage": both(next), "429": both(next), "500": both(next),
		"slow": both(sight{agent: "slow", attempts: 1, status: 200}), "die": midway("upstream_error"),
		"all": both(sight{status: 502, code: "upstream_error"}), // and so does the next
	}
}

// heard is what a client gets.
type heard struct {
	text, code string
	dones      int
	usage      bool
}

// takeApart takes an answer apart, a stream or a whole one or an error.
func takeApart(body string, stream bool) (h heard, err error) {
	pieces := []string{body}
	if stream && strings.HasPrefix(body, "data: ") {
		pieces = nil
		for event := range strings.SplitSeq(strings.TrimSpace(body), "\n\n") {
			data, ok := strings.CutPrefix(event, "data: ")
			switch {
			case strings.HasPrefix(event, ":"):
			case !ok:
				return h, fmt.Errorf("no event: %q", event)
			case data == "[DONE]":
				h.dones++
			default:
				pieces = append(pieces, data)
			}
		}
	}
	for _, p := range pieces {
		var in struct {
			Choices []struct {
				Delta, Message struct{ Content string }
			}
			Usage *struct{ Completion int }
			Error *struct{ Code string }
		}
		if err := json.Unmarshal([]byte(p), &in); err != nil {
			return h, fmt.Errorf("%q: %w", p, err)
		}
		for _, c := range in.Choices {
			h.text += c.Delta.Content + c.Message.Content
		}
		if h.usage = h.usage || in.Usage != nil; in.Error != nil {
			h.code = in.Error.Code
		}
	}
	return h, nil
}

func TestWhateverWayAPrimaryFailsClientsGetACleanAnswerOrTheTruth(t *testing.T) {
	var agents, aliases strings.Builder
	all := waysToFail()
	names := slices.Sorted(maps.Keys(all))
	for _, way := range names {
		url := ""
		switch way {
		case "all":
			aliases.WriteString("way-all: [n500/mock-1, reset/mock-1], ")
			continue
		case "refuses":
			url = kit.Dead(t)
		default:
			url = kit.NewUpstream(t, way).URL
		}
		limits := "first_event: 60s"
		if way == "hang" {
			limits = "first_event: 500ms"
		}
		fmt.Fprintf(&agents, "  %s: {driver: openai, models: [mock-1], limits: {%s}, breaker: {failures: 0}, health: {failures: 1000000}, openai: {base_url: %q}}\n", agentOf(way), limits, url)
		fmt.Fprintf(&aliases, "way-%s: [%s/mock-1, two/mock-1], ", way, agentOf(way))
	}
	s := kit.Start(t, kit.Options{Dir: t.TempDir(), Config: staff + fmt.Sprintf(`agents:
  two: {driver: openai, models: [mock-1], openai: {base_url: %q}}
%srouting: {default: [two], aliases: {%s}, retry: {share: 0}}
`, kit.NewUpstream(t, "ok").URL, agents.String(), strings.TrimSuffix(aliases.String(), ", "))})

	runs, seed := kit.Size(len(names)*2, 60, 1000), rand.Uint64()
	t.Logf("%d runs, seed %d", runs, seed)
	type todo struct {
		way    string
		stream bool
	}
	plan := make([]todo, runs)
	for i := range plan {
		plan[i] = todo{names[i%len(names)], i/len(names)%2 == 1}
	}
	rand.New(rand.NewPCG(seed, 0)).Shuffle(runs, func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	var (
		mu     sync.Mutex
		next   int
		seen   = map[string]int{}
		client sync.WaitGroup
	)
	for range 8 {
		client.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= runs {
					return
				}
				if how := primary(t, s, plan[i].way, fmt.Sprintf("text-%d", i), plan[i].stream); how != "" {
					t.Errorf("run %d, %s, stream %v: %s", i, plan[i].way, plan[i].stream, how)
				}
				mu.Lock()
				seen[fmt.Sprintf("%s stream=%v", plan[i].way, plan[i].stream)]++
				mu.Unlock()
			}
		})
	}
	client.Wait()
	if len(seen) != 2*len(names) {
		t.Errorf("not all ways were tried: %v", seen)
	}
	t.Log(seen)
}

// agentOf is the name of the agent that fails in a way.
func agentOf(way string) string {
	if way == "429" || way == "500" {
		return "n" + way
	}
	return way
}

// primary asks once and says what is wrong with what the client gets; empty: nothing.
func primary(t *testing.T, s *kit.Server, way, text string, stream bool) string {
	body, want := kit.Ask("way-"+way, text), waysToFail()[way].whole
	if stream {
		body, want = kit.AskStream("way-"+way, text), waysToFail()[way].stream
	}
	a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body, as("victim")...)
	if err != nil {
		return err.Error()
	}
	got, err := takeApart(a.Body, stream)
	switch {
	case err != nil:
		return err.Error()
	case strings.Contains(a.Body, "secret-of-upstream"):
		return "it shows what the upstream said: " + a.Body
	case a.Status != want.status || got.code != want.code:
		return fmt.Sprintf("%d with code %q, not %d with %q: %s", a.Status, got.code, want.status, want.code, a.Body)
	case want.code == "" && (got.text != text || !got.usage && !stream):
		return "it is not the whole answer: " + a.Body
	case want.code != "" && got.dones > 0:
		return "it is done, in spite of its error: " + a.Body
	case want.code != "" && got.text != "" && !strings.HasPrefix(text, got.text):
		return "what came before the error is another answer: " + a.Body
	case want.code == "" && stream && got.dones != 1:
		return fmt.Sprintf("it ends %d times: %s", got.dones, a.Body)
	}
	if h := a.Header; want.status == 200 && (h.Get("X-Agentapi-Attempts") != fmt.Sprint(want.attempts) || want.agent != "" && h.Get("X-Agentapi-Agent") != want.agent || h.Get("X-Agentapi-Route") != "alias") {
		return fmt.Sprintf("by %s after %s attempts, by %s", h.Get("X-Agentapi-Agent"), h.Get("X-Agentapi-Attempts"), h.Get("X-Agentapi-Route"))
	}
	why, err := s.Do(t.Context(), http.MethodGet, "/api/v1/platform/requests/"+a.Header.Get("X-Request-Id")+"/explain", "", as("platform_auditor")...)
	var e struct {
		Status   string
		Attempts []struct{ Agent, Result string }
	}
	if err != nil || json.Unmarshal([]byte(why.Body), &e) != nil || len(e.Attempts) == 0 {
		return fmt.Sprintf("it is not explained: %d %s, %v", why.Status, why.Body, err)
	}
	last := e.Attempts[len(e.Attempts)-1]
	if want.code == "" && (e.Status != "completed" || last.Result != "answered" || last.Agent != want.agent || len(e.Attempts) != want.attempts) ||
		want.code != "" && (e.Status != "failed" || last.Result != "failed") {
		return "it is explained as " + why.Body
	}
	return ""
}

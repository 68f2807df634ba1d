package porttest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/ports"
)

func claim(key string, body byte, owner string, at time.Time) idempotency.Claim {
	at = session.Moment(at)
	return idempotency.Claim{Key: idempotency.NewKey("POST /x", key), Body: [32]byte{body}, Owner: owner, At: at, Until: at.Add(time.Minute)}
}

func result(at time.Time) idempotency.Result {
	return idempotency.Result{
		ID: "chatcmpl-1", Created: at.UTC().Truncate(time.Second), Model: "m", Agent: "a", AgentID: "v/m", Attempts: 2, Route: "alias",
		Session: "sess_x", How: "new", Ignored: []string{"seed"}, Completed: session.Moment(at),
		Events: []chat.Event{
			{Kind: chat.Text, Choice: 1, Text: "héllo \u2028", Native: []byte("\"choices\":[{\"x\":\"\xc3\xa9\xff\x00\"}]"), Held: true, More: true},
			{Kind: chat.Called, Call: &chat.CallDelta{Index: 1, ID: "c", Custom: true, Name: "f", Arguments: "{}"}},
			{Kind: chat.Used, Usage: &chat.Usage{
				Prompt: 1, Completion: 2, Cached: 3, CacheWrite: 4, Reasoning: 5, PromptAudio: 6, CompletionAudio: 7,
				AcceptedPrediction: 8, RejectedPrediction: 9, Estimated: true,
			}},
			{Kind: chat.Started, Text: "native"}, {Kind: chat.Thought, Text: "hm"}, {Kind: chat.Refused, Text: "no"}, {Kind: chat.Acted, Text: "ls"},
			{Kind: chat.Stopped, Reason: chat.Length}, {Kind: chat.Finished},
		},
	}
}

func idempotencyLife(t *testing.T, s ports.Storage) {
	ann, bob := someone(t, "a", "ann"), someone(t, "a", "bob")
	c := claim("k", 1, "one", start)
	keys := s.Idempotency()
	out, err := keys.Claim(t.Context(), ann, c)
	must(t, err)
	if !out.Claimed || out.Replay != nil {
		t.Errorf("got %+v", out)
	}
	_, err = keys.Claim(t.Context(), ann, claim("k", 1, "two", start))
	is(t, err, fault.Conflict, "idempotency_in_progress")
	_, err = keys.Claim(t.Context(), ann, claim("k", 2, "two", start))
	is(t, err, fault.KeyReuse, "idempotency_key_reuse")
	if out, err := keys.Claim(t.Context(), bob, claim("k", 2, "two", start)); err != nil || !out.Claimed {
		t.Errorf("another user's key: %v", err)
	}
	want := result(start)
	must(t, keys.Complete(t.Context(), ann, c, want))
	out, err = keys.Claim(t.Context(), ann, claim("k", 1, "two", start.Add(time.Hour)))
	must(t, err)
	if out.Claimed || out.Replay == nil {
		t.Fatalf("got %+v", out)
	}
	same(t, *out.Replay, want)
	out.Replay.Events[0].Native[0], out.Replay.Events[1].Call.ID, out.Replay.Ignored[0] = 'x', "changed", "changed"
	out, err = keys.Claim(t.Context(), ann, claim("k", 1, "two", start.Add(time.Hour)))
	must(t, err)
	same(t, *out.Replay, want)
	_, err = keys.Claim(t.Context(), ann, claim("k", 2, "two", start))
	is(t, err, fault.KeyReuse, "")
	is(t, keys.Complete(t.Context(), ann, c, want), fault.Conflict, "")
	must(t, keys.Release(t.Context(), ann, c))
	if out, err := keys.Claim(t.Context(), ann, claim("k", 1, "two", start)); err != nil || out.Replay == nil {
		t.Errorf("a late release took the result away: %+v, %v", out, err)
	}
	refused := claim("refused", 1, "one", start)
	_, err = keys.Claim(t.Context(), ann, refused)
	must(t, err)
	no := fault.Invalidf("messages", "invalid_value", "No.").WithHint("Do this.").WithRetryAfter(time.Second).
		With(func(e *fault.Error) { e.Type = "vendors_own" })
	must(t, keys.Complete(t.Context(), ann, refused, idempotency.Result{Failure: no, Completed: session.Moment(start)}))
	out, err = keys.Claim(t.Context(), ann, refused)
	must(t, err)
	same(t, out.Replay.Failure, no)
}

func idempotencyMeets(t *testing.T, s ports.Storage) {
	keys, in := s.Idempotency(), someone(t, "a", "ann")
	const body, otherBody = 1, 2
	type meeting struct {
		done    bool          // the earlier request has ended
		body    byte          // of the later one, a minute being the time to lapse
		after   time.Duration // how much later it comes
		claimed bool
		kind    fault.Kind // of the refusal
		code    string
	}
	for name, m := range map[string]meeting{
		"it runs":                               {false, body, time.Minute - 1000, false, fault.Conflict, "idempotency_in_progress"},
		"it runs with another body":             {false, otherBody, 0, false, fault.KeyReuse, "idempotency_key_reuse"},
		"its time is up":                        {false, body, time.Minute, true, 0, ""},
		"its time is up, it had another body":   {false, otherBody, time.Minute, false, fault.KeyReuse, "idempotency_key_reuse"},
		"it is done":                            {true, body, idempotency.Keep - 1000, false, 0, ""},
		"it is done with another body":          {true, otherBody, time.Hour, false, fault.KeyReuse, "idempotency_key_reuse"},
		"it was done long ago":                  {true, body, idempotency.Keep, true, 0, ""},
		"it was done long ago, of another body": {true, otherBody, idempotency.Keep, true, 0, ""},
	} {
		first := claim(name, body, "one", start)
		_, err := keys.Claim(t.Context(), in, first)
		must(t, err)
		if m.done {
			must(t, keys.Complete(t.Context(), in, first, result(start)))
		}
		later := claim(name, m.body, "two", start.Add(m.after))
		out, err := keys.Claim(t.Context(), in, later)
		if m.kind != 0 {
			is(t, err, m.kind, m.code)
			continue
		}
		must(t, err)
		if out.Claimed != m.claimed || (out.Replay == nil) != m.claimed {
			t.Errorf("%s: got %+v", name, out)
		}
		if m.claimed { // it is the later one's wholly
			must(t, keys.Complete(t.Context(), in, later, result(start.Add(m.after))))
			_, err = keys.Claim(t.Context(), in, claim(name, m.body, "three", start.Add(m.after)))
			must(t, err)
		}
	}
}

func idempotencyForeign(t *testing.T, s ports.Storage) {
	keys, ann := s.Idempotency(), someone(t, "a", "ann")
	c := claim("k", 1, "one", start)
	_, err := keys.Claim(t.Context(), ann, c)
	must(t, err)
	for _, other := range []struct{ org, user string }{{"a", "bob"}, {"b", "ann"}} {
		in := someone(t, other.org, other.user)
		is(t, keys.Complete(t.Context(), in, c, result(start)), fault.Conflict, "")
		must(t, keys.Release(t.Context(), in, c))
		if out, err := keys.Claim(t.Context(), in, claim("k", 2, "two", start)); err != nil || !out.Claimed {
			t.Errorf("the same key of %v: %+v, %v", other, out, err)
		}
	}
	must(t, keys.Complete(t.Context(), ann, c, result(start)))
}

func idempotencyRelease(t *testing.T, s ports.Storage) {
	in, keys := someone(t, "a", "ann"), s.Idempotency()
	c := claim("k", 1, "one", start)
	_, err := keys.Claim(t.Context(), in, c)
	must(t, err)
	must(t, keys.Release(t.Context(), in, claim("k", 1, "two", start))) // not its own
	_, err = keys.Claim(t.Context(), in, claim("k", 1, "two", start))
	is(t, err, fault.Conflict, "")
	must(t, keys.Release(t.Context(), in, c))
	must(t, keys.Release(t.Context(), in, c))
	if out, err := keys.Claim(t.Context(), in, claim("k", 2, "two", start)); err != nil || !out.Claimed {
		t.Errorf("got %+v, %v", out, err)
	}
}

func idempotencyLapse(t *testing.T, s ports.Storage) {
	in, keys := someone(t, "a", "ann"), s.Idempotency()
	first, second := claim("k", 1, "one", start), claim("k", 1, "two", start.Add(2*time.Minute))
	_, err := keys.Claim(t.Context(), in, first)
	must(t, err)
	out, err := keys.Claim(t.Context(), in, second)
	must(t, err)
	if !out.Claimed {
		t.Error("a claim outlives its time")
	}
	is(t, keys.Complete(t.Context(), in, first, result(start)), fault.Conflict, "")
	must(t, keys.Release(t.Context(), in, first))
	must(t, keys.Complete(t.Context(), in, second, result(start)))
}

func idempotencyPrune(t *testing.T, s ports.Storage) {
	in, keys := someone(t, "a", "ann"), s.Idempotency()
	old, young, running, dead := claim("old", 1, "o", start), claim("young", 1, "o", start), claim("running", 1, "o", start), claim("dead", 1, "o", start)
	running.Until, dead.Until = start.Add(time.Hour), start.Add(time.Second)
	for _, c := range []idempotency.Claim{old, young, running, dead} {
		_, err := keys.Claim(t.Context(), in, c)
		must(t, err)
	}
	must(t, keys.Complete(t.Context(), in, old, result(start)))
	must(t, keys.Complete(t.Context(), in, young, result(start.Add(time.Hour))))
	n, err := keys.Prune(t.Context(), start.Add(time.Minute))
	must(t, err)
	if n != 2 { // with the one whose owner has not come back
		t.Errorf("%d entries were forgotten", n)
	}
	if out, err := keys.Claim(t.Context(), in, claim("old", 2, "o", start)); err != nil || !out.Claimed {
		t.Errorf("what was forgotten: %+v, %v", out, err)
	}
	if out, err := keys.Claim(t.Context(), in, young); err != nil || out.Replay == nil {
		t.Errorf("what is young: %+v, %v", out, err)
	}
	_, err = keys.Claim(t.Context(), in, running)
	is(t, err, fault.Conflict, "")
}

func oneWinner(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		winners int
	)
	for i := range 32 {
		all.Go(func() {
			out, err := s.Idempotency().Claim(t.Context(), in, claim("k", 1, fmt.Sprint(i), start))
			if err != nil && !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if out.Claimed {
				winners++
			}
		})
	}
	all.Wait()
	if winners != 1 {
		t.Errorf("%d claims won", winners)
	}
}

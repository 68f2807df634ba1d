package idempotency

import (
	"strings"
	"testing"
	"time"

	"agentapi/domain/fault"
)

func TestWhatAClaimMeets(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	claim := Claim{Key: NewKey("POST /x", "k"), Body: [32]byte{1}, Owner: "b", At: now, Until: now.Add(time.Minute)}
	entry := func(change func(*Entry)) *Entry {
		e := &Entry{Claim: Claim{Key: claim.Key, Body: claim.Body, Owner: "a", At: now.Add(-time.Second), Until: now.Add(time.Minute)}}
		change(e)
		return e
	}
	done := func(age time.Duration) func(*Entry) {
		return func(e *Entry) { e.Done, e.Result = true, Result{ID: "x", Completed: now.Add(-age)} }
	}
	for name, c := range map[string]struct {
		entry   *Entry
		claimed bool
		replay  bool
		kind    fault.Kind
	}{
		"nothing":               {nil, true, false, 0},
		"it is running":         {entry(func(*Entry) {}), false, false, fault.Conflict},
		"its owner died":        {entry(func(e *Entry) { e.Until = now }), true, false, 0},
		"it is done":            {entry(done(time.Hour)), false, true, 0},
		"it was done long ago":  {entry(done(Keep)), true, false, 0},
		"it runs for another":   {entry(func(e *Entry) { e.Body = [32]byte{2} }), false, false, fault.KeyReuse},
		"it was another's body": {entry(func(e *Entry) { done(0)(e); e.Body = [32]byte{2} }), false, false, fault.KeyReuse},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := Meet(c.entry, claim)
			if c.kind != 0 {
				if !fault.Is(err, c.kind) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || out.Claimed != c.claimed || (out.Replay != nil) != c.replay {
				t.Errorf("got %+v, %v", out, err)
			}
		})
	}
}

func TestKeysAreVisibleASCIIOfBoundedLength(t *testing.T) {
	for _, good := range []string{"a", "k-1 x", strings.Repeat("k", MaxKey)} {
		if err := ValidKey(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a\nb", "é", strings.Repeat("k", MaxKey+1)} {
		if f := fault.As(ValidKey(bad)); f == nil || f.Code != "invalid_idempotency_key" {
			t.Errorf("%q: got %v", bad, f)
		}
	}
	if NewKey("a", "b") == NewKey("ab", "") {
		t.Error("route and key run into each other")
	}
}

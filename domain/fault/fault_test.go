package fault

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]Kind{}
	for _, k := range Kinds() {
		name := k.String()
		if name == "" || name == "unknown" {
			t.Errorf("kind %d has no name", k)
		}
		if other, dup := seen[name]; dup {
			t.Errorf("kinds %d and %d are both named %q", k, other, name)
		}
		seen[name] = k
	}
	if got := Kind(200).String(); got != "unknown" {
		t.Errorf("a kind that is none is named %q", got)
	}
}

func TestWrappingKeepsTheKindAndHidesTheCause(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.1: secret detail")
	err := fmt.Errorf("context: %w", Wrap(Unavailable, cause, "The agent cannot be reached.").WithCode("agent_unavailable"))
	if !Is(err, Unavailable) || KindOf(err) != Unavailable {
		t.Errorf("kind is %v", KindOf(err))
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if e := As(err); e.Message != "The agent cannot be reached." || e.Code != "agent_unavailable" {
		t.Errorf("message %q, code %q", e.Message, e.Code)
	}
}

func TestAnUnknownErrorIsInternal(t *testing.T) {
	if KindOf(errors.New("x")) != Internal || As(errors.New("x")) != nil || Is(nil, Internal) {
		t.Error("an error that is no fault must be Internal, and nil no fault at all")
	}
}

func TestWithLeavesTheOriginalAlone(t *testing.T) {
	e := New(RateLimited, "Slow down.")
	_ = e.WithHint("h").WithParam("p").WithRetryAfter(time.Second)
	if e.Hint != "" || e.Param != "" || e.RetryAfter != 0 {
		t.Errorf("the original was changed: %+v", e)
	}
}

func TestOnlyFaultsOfTheOtherSideAreRetryable(t *testing.T) {
	for _, k := range Kinds() {
		want := k == Unavailable || k == Timeout || k == Upstream || k == RateLimited
		if k.Retryable() != want {
			t.Errorf("%s: retryable is %v", k, k.Retryable())
		}
	}
}

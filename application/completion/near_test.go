package completion_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// silent is a storage whose commits take as long as they may.
type silent struct{ ports.Storage }

func (s silent) Atomically(ctx context.Context, _ func(context.Context, ports.Repositories) error) error {
	<-ctx.Done()
	return fault.Wrap(fault.Unavailable, ctx.Err(), "The storage does not answer.")
}

func TestAStorageThatDoesNotAnswerHoldsAnAnswerUpForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := buildWith(t, func(_ *catalog.Params, p *completion.Params) { p.Storage = silent{p.Storage} }, says(text("hello"), stopped, finished))
		began := time.Now()
		if _, err := h.Complete(t.Context(), h.ask("hi")); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took < time.Second || took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

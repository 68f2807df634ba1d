package completion_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

var refused = fault.New(fault.Forbidden, "Your account is suspended.").WithCode("account_suspended")

func isRefused(err error) bool {
	f := fault.As(err)
	return f != nil && f.Kind == fault.Forbidden && f.Code == refused.Code && f.Message == refused.Message
}

func TestWhatRunsOfARevokedCallerEndsWithTheRefusal(t *testing.T) {
	for name, ask := range map[string]func(h *house, ctx context.Context) error{
		"in one piece": func(h *house, ctx context.Context) error {
			_, err := h.Complete(ctx, h.ask("hi"))
			return err
		},
		"a stream": func(h *house, ctx context.Context) error {
			r, err := h.Begin(ctx, h.stream("hi"))
			if err == nil {
				_, err = drain(r)
			}
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, _ := slowly(text("a"), text("b"), stopped, finished)
			other := says(text("x"), stopped, finished)
			h := build(t, a, other)
			done := make(chan error, 1)
			go func() { done <- ask(h, t.Context()) }()
			time.Sleep(1500 * time.Millisecond)
			h.Revoke(map[completion.Caller]error{{}: refused})
			synctest.Wait()
			if n := len(h.Running()); n != 1 {
				t.Fatalf("%s: %d run", name, n)
			}
			h.Revoke(map[completion.Caller]error{{Org: h.caller.Org(), User: h.caller.User()}: refused})
			if err := <-done; !isRefused(err) {
				t.Errorf("%s: the client was told %v", name, err)
			}
			if other.runs.Load() != 0 || len(h.Running()) != 0 || h.sessions(t) != 0 {
				t.Errorf("%s: another agent was asked %d times, there run %d, %d sessions are stored", name, other.runs.Load(), len(h.Running()), h.sessions(t))
			}
		})
	}
}

// Whoever listens with a credential that is good no more hears nothing more, here and on
// other servers, while others of the same user go on.
func TestWhoListensByARevokedKeyIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(letters...)
		here := lingering(t, nil, "here", a)
		there := lingering(t, here, "there", a)
		key := tenancy.NewKeyID(time.Now(), [10]byte{1})
		byKey, err := tenancy.NewPrincipal(tenancy.Identity{Key: &tenancy.APIKey{ID: key}}, here.caller.Org(), here.caller.User())
		if err != nil {
			t.Fatal(err)
		}
		first, err := begins(t, t.Context(), here, "")
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		synctest.Wait() // its tape is there
		var guests []*completion.Reply
		for _, h := range []*house{here, there} {
			cmd := keyed(h.stream("hi"))
			cmd.Caller = byKey
			r, err := h.Begin(t.Context(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			guests = append(guests, r)
			by := completion.Caller{Org: here.caller.Org(), User: here.caller.User(), Key: key}
			if !h.Callers()[by] {
				t.Errorf("those who listen are %v", h.Callers())
			}
			h.Revoke(map[completion.Caller]error{by: refused})
		}
		for n, r := range guests {
			if _, err := drain(r); !isRefused(err) {
				t.Errorf("guest %d was told %v", n, err)
			}
			r.Close()
		}
		if got := listen(t, first, all); len(got) != len(letters) {
			t.Errorf("who began it got %+v", got)
		}
		first.Close()
		time.Sleep(time.Minute)
		for _, h := range []*house{here, there} {
			if len(h.Callers()) != 0 {
				t.Errorf("there still listen %v", h.Callers())
			}
		}
	})
}

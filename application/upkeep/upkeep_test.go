package upkeep

import (
	"context"
	"crypto/rand"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/page"
	"agentapi/domain/retention"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

// told keeps what the observer is told.
type told struct {
	ports.NopObserver
	swept []ports.Swept
}

func (o *told) Swept(_ context.Context, done ports.Swept, _ error) { o.swept = append(o.swept, done) }

func build(t *testing.T, policies retention.Policies) (*Service, *told, tenancy.Scope) {
	t.Helper()
	var o memory.Options
	o.SetDefaults()
	store, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	who, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, "a"), named(tenancy.UserID{}, "u"))
	if err != nil {
		t.Fatal(err)
	}
	seen := &told{}
	return New(Params{
		Storage: store, Policies: policies, Every: time.Hour, Instance: "here", Observer: seen, Now: time.Now,
		NewUser: func() tenancy.UserID { return named(tenancy.UserID{}, "nobody") },
	}), seen, who.Scope()
}

func (s *Service) store(t *testing.T, in tenancy.Scope, n int) {
	t.Helper()
	for i := range n {
		v := session.New(session.NewID(time.Now(), [10]byte{5: byte(i), 6: byte(i >> 8)}), in, session.Key{}, time.Now())
		if err := s.Storage.Sessions().Create(t.Context(), in, v); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *Service) left(t *testing.T, in tenancy.Scope) int {
	t.Helper()
	list, err := s.Storage.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: page.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

func TestWhatIsOldGoesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen, in := build(t, retention.Policies{Policy: retention.Policy{Sessions: 90 * time.Minute}})
		s.store(t, in, 3*batch/2)
		ctx, stop := context.WithCancel(t.Context())
		go s.Run(ctx)
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		if s.left(t, in) == 0 || len(seen.swept) != 2 || seen.swept[1].Sessions != 0 { // at its start, and an hour later
			t.Errorf("too early: %+v", seen.swept)
		}
		if pending, err := s.Pending(t.Context()); err != nil || pending.Sessions != 0 {
			t.Errorf("got %+v, %v", pending, err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.left(t, in); n != 0 || len(seen.swept) != 3 || seen.swept[2].Sessions != 3*batch/2 {
			t.Errorf("%d are left; %+v", n, seen.swept)
		}
		stop()
		synctest.Wait()
	})
}

func TestOneInstanceSweeps(t *testing.T) {
	s, _, _ := build(t, retention.Policies{})
	other := New(s.Params)
	other.Instance = "there"
	if err := other.hold(t.Context()); err != nil { // and then it dies
		t.Fatal(err)
	}
	if _, err := s.Sweep(t.Context()); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
	other.Now = func() time.Time { return time.Now().Add(2 * leaseFor) }
	s.Now = other.Now
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Errorf("a dead instance's lease is not taken over: %v", err)
	}
	if _, err := other.Sweep(t.Context()); err != nil {
		t.Errorf("a lease is not given back: %v", err)
	}
}

func TestAnErasedUserIsGone(t *testing.T) {
	s, _, in := build(t, retention.Policies{})
	s.store(t, in, 2*batch+1)
	if n, err := s.Erase(t.Context(), in); err != nil || n != 2*batch+1 || s.left(t, in) != 0 {
		t.Errorf("erased %d, %v; left are %d", n, err, s.left(t, in))
	}
}

// What the log knew of somebody goes with them, whether or not it still grows.
func TestAnErasedUserIsGoneFromALogThatWasTurnedOff(t *testing.T) {
	s, _, who := build(t, retention.Policies{})
	log := trail.NewRecorder(s.Storage, "here", time.Now, func(b []byte) { rand.Read(b) })
	from := tenancy.Origin{Address: netip.MustParseAddr("192.0.2.1"), Agent: "curl/8"}
	if err := log.Record(t.Context(), trail.Note{Action: audit.KeyCreated, Who: who, From: from}); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Storage.Audit().Values(t.Context(), who); err != nil || len(left) == 0 {
		t.Fatal(left, err)
	}
	if _, err := s.Erase(t.Context(), who); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Storage.Audit().Values(t.Context(), who); err != nil || len(left) > 0 {
		t.Errorf("left is %v, %v", left, err)
	}
}

// broken fails to remove old sessions.
type broken struct {
	ports.Storage
}

type brokenUpkeep struct{ ports.Upkeep }

func (b broken) Upkeep() ports.Upkeep { return brokenUpkeep{b.Storage.Upkeep()} }

func (b brokenUpkeep) Expire(ctx context.Context, r retention.Rule, most int) (int, bool, error) {
	if r.Kind == retention.Sessions {
		return 0, false, fault.New(fault.Unavailable, "slow")
	}
	return b.Upkeep.Expire(ctx, r, most)
}

func TestWhatFailsHoldsUpNothingElse(t *testing.T) {
	s, _, in := build(t, retention.Policies{Policy: retention.Policy{Sessions: time.Hour, Usage: time.Hour}})
	old := s.Now().Add(-2 * time.Hour)
	if err := s.Storage.Usage().Record(t.Context(), in, usage.Record{ID: usage.NewID(old, [10]byte{1}), At: old}); err != nil {
		t.Fatal(err)
	}
	s.Storage = broken{s.Storage}
	if done, err := s.Sweep(t.Context()); !fault.Is(err, fault.Unavailable) || done.Usage != 1 {
		t.Errorf("removed %+v, %v", done, err)
	}
}

func TestWhatAnOrganisationKeepsForLessTimeGoesSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, in := build(t, retention.Policies{Policy: retention.Policy{Sessions: 30 * 24 * time.Hour}})
		err := s.Storage.Directory().Enrol(t.Context(), tenancy.Standing{Org: &tenancy.Org{
			ID: in.Org(), Issuer: "dev", Name: "a", Title: "A", Status: tenancy.Active, Keeps: tenancy.Keeps{Sessions: time.Hour}, Version: 1, Created: time.Now(), Updated: time.Now(),
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.store(t, in, 3)
		other, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, "b"), named(tenancy.UserID{}, "v"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.store(t, other.Scope(), 3)
		time.Sleep(2 * time.Hour)
		if pending, err := s.Pending(t.Context()); err != nil || pending.Sessions != 3 {
			t.Errorf("pending are %+v, %v", pending, err)
		}
		if done, err := s.Sweep(t.Context()); err != nil || done.Sessions != 3 || s.left(t, in) != 0 || s.left(t, other.Scope()) != 3 {
			t.Errorf("%+v, %v, and %d and %d are left", done, err, s.left(t, in), s.left(t, other.Scope()))
		}
	})
}

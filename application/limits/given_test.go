package limits

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	cache "agentapi/adapters/cache/memory"
	"agentapi/adapters/storage/memory"
	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// away is a storage whose directory cannot be reached while it is off.
type away struct {
	ports.Storage
	off   bool
	asked int
}

func (a *away) Directory() ports.Directory { return gone{a.Storage.Directory(), a} }

type gone struct {
	ports.Directory
	from *away
}

func (g gone) Allowances(ctx context.Context, in tenancy.Scope, key tenancy.KeyID) (tenancy.Allowances, error) {
	g.from.asked++
	if g.from.off {
		return tenancy.Allowances{}, fault.New(fault.Unavailable, "It is away.")
	}
	return g.Directory.Allowances(ctx, in, key)
}

// enrolled has an organisation and a user in a new storage.
func enrolled(t *testing.T, who tenancy.Principal) *away {
	t.Helper()
	store, err := memory.Open(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &away{Storage: store}
	at := time.Now()
	err = s.Storage.Directory().Enrol(t.Context(), tenancy.Standing{
		Org:    &tenancy.Org{ID: who.Org(), Issuer: "dev", Name: "o", Title: "O", Status: tenancy.Active, Version: 1, Created: at, Updated: at},
		User:   &tenancy.User{ID: who.User(), Issuer: "dev", Subject: "u", Status: tenancy.Active, Version: 1, Created: at, Updated: at},
		Member: &tenancy.Member{Org: who.Org(), User: who.User(), Name: "u", Role: tenancy.OrgMember, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func give(t *testing.T, s *away, who tenancy.Principal, own quota.Own) {
	t.Helper()
	err := s.Storage.Directory().UpdateMember(t.Context(), tenancy.RealmOf(who.Org()), who.User(), func(m *tenancy.Member) error {
		m.Limits = own
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLimitsThatWereGivenBindInPlaceOfTheStandardOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := person(t, 1, 1)
		store := enrolled(t, who)
		s := New(Params{Limiter: cache.NewLimiter(), Observer: ports.NopObserver{}, Storage: store, Allowed: Allowances{User: quota.Limits{Concurrent: 3}}})
		running := func() int { t.Helper(); return len(s.running) }
		granted(t, s, who, "m", 1, 10)
		if running() != 3 {
			t.Fatalf("%d run by the standard limit, not 3", running())
		}
		give(t, store, who, quota.Own{quota.Concurrent: 5})
		granted(t, s, who, "n", 1, 10)
		if running() != 3 || store.asked != 1 {
			t.Errorf("within its time it was looked up anew: %d run, %d times", running(), store.asked)
		}
		s.Hear()
		more(t, s, who, "forgotten", 10)
		if running() != 5 {
			t.Errorf("after a change here %d run, not 5", running())
		}
		give(t, store, who, quota.Own{quota.Concurrent: 15})
		time.Sleep(knownFor)
		more(t, s, who, "later", 10)
		if running() != 15 {
			t.Errorf("after a change elsewhere %d run, not 15", running())
		}
	})
}

func TestWhileTheStorageIsAwayWhatWasKnownLastHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := person(t, 1, 1)
		store := enrolled(t, who)
		give(t, store, who, quota.Own{quota.Concurrent: 2})
		s := New(Params{Limiter: cache.NewLimiter(), Observer: ports.NopObserver{}, Storage: store})
		store.off = true
		if _, err := s.Take(t.Context(), "first", who, quota.Want{Tokens: 1}, "m"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("nothing is known of the caller, and it is %v", err)
		}
		store.off = false
		more(t, s, who, "known", 1)
		store.off = true
		time.Sleep(lease / 2)
		more(t, s, who, "away", 5)
		if len(s.running) != 2 {
			t.Errorf("%d run, not 2", len(s.running))
		}
	})
}

func TestOtherStandardLimitsHoldAtOnceForWhomIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		who := person(t, 1, 1)
		store := enrolled(t, who)
		s := New(Params{Limiter: cache.NewLimiter(), Observer: ports.NopObserver{}, Storage: store, Allowed: Allowances{User: quota.Limits{Concurrent: 1}}})
		more(t, s, who, "before", 5)
		s.Allow(Allowances{User: quota.Limits{Concurrent: 3}})
		more(t, s, who, "after", 5)
		if len(s.running) != 3 || store.asked != 1 {
			t.Errorf("%d run, not 3, and the storage was asked %d times", len(s.running), store.asked)
		}
	})
}

func more(t *testing.T, s *Service, who tenancy.Principal, what string, n int) {
	t.Helper()
	for i := range n {
		if _, err := s.Take(t.Context(), what+string(rune('a'+i)), who, quota.Want{Tokens: 1}, "m"); err != nil && !fault.Is(err, fault.RateLimited) {
			t.Fatal(err)
		}
	}
}

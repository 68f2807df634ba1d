package limits

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/mock/gomock"

	"agentapi/adapters/cache/memory"
	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
	"agentapi/ports"
	"agentapi/ports/portmock"
)

func person(t *testing.T, org, user byte) tenancy.Principal {
	t.Helper()
	o, u := tenancy.OrgID{6: 0x70, 8: 0x80, 9: org}, tenancy.UserID{6: 0x70, 8: 0x80, 9: user}
	p, err := tenancy.NewPrincipal(tenancy.Identity{}, o, u)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// granted counts how many of n requests are granted.
func granted(t *testing.T, s *Service, who tenancy.Principal, model string, tokens int64, n int) (all []*Grant) {
	t.Helper()
	for i := range n {
		g, err := s.Take(t.Context(), fmt.Sprintf("%p/%d", t, i), who, quota.Want{Tokens: tokens}, model)
		if err == nil {
			all = append(all, g)
		} else if !fault.Is(err, fault.RateLimited) {
			t.Fatal(err)
		}
	}
	return all
}

func TestEachLimitBoundsThoseItIsFor(t *testing.T) {
	for name, c := range map[string]struct {
		p    Allowances
		want [4]int // of 10 requests each: one, the same again, another user of the organisation, another organisation
	}{
		"none":         {Allowances{}, [4]int{10, 10, 10, 10}},
		"platform":     {Allowances{Platform: quota.Limits{RequestsPerMinute: 15}}, [4]int{10, 5, 0, 0}},
		"organization": {Allowances{Org: quota.Limits{RequestsPerDay: 15}}, [4]int{10, 5, 0, 10}},
		"user":         {Allowances{User: quota.Limits{Concurrent: 7}}, [4]int{7, 0, 7, 7}},
		"tokens":       {Allowances{User: quota.Limits{TokensPerMinute: 1500}}, [4]int{10, 5, 10, 10}},
		"model":        {Allowances{Models: map[string]quota.Limits{"m": {RequestsPerMinute: 12}}}, [4]int{10, 2, 0, 0}},
		"other models": {Allowances{Models: map[string]quota.Limits{"n": {RequestsPerMinute: 1}}}, [4]int{10, 10, 10, 10}},
		"several":      {Allowances{Org: quota.Limits{RequestsPerMinute: 12}, User: quota.Limits{RequestsPerMinute: 8}}, [4]int{8, 0, 4, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Params{Limiter: memory.NewLimiter(), Observer: ports.NopObserver{}, Allowed: c.p})
				var got [4]int
				for i, who := range []tenancy.Principal{person(t, 1, 1), person(t, 1, 1), person(t, 1, 2), person(t, 2, 3)} {
					got[i] = len(granted(t, s, who, "m", 100, 10))
				}
				if got != c.want {
					t.Errorf("granted %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestTokensThatWereNotUsedComeBackAndPlacesAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Params{Limiter: memory.NewLimiter(), Observer: ports.NopObserver{}, Allowed: Allowances{User: quota.Limits{TokensPerMinute: 1000, Concurrent: 1}}})
		who := person(t, 1, 1)
		first := granted(t, s, who, "m", 900, 1)
		if len(first) != 1 || len(granted(t, s, who, "m", 50, 1)) != 0 {
			t.Fatal("one request runs at once")
		}
		if st := first[0].Standings().Tokens; st.Remaining != 100 || st.Limit != 1000 {
			t.Errorf("the caller stands at %+v", st)
		}
		first[0].Settle(t.Context(), 100)
		first[0].Free()
		if len(granted(t, s, who, "m", 900, 1)) != 1 {
			t.Error("what was not used has not come back")
		}
	})
}

func TestAPlaceIsHeldAsLongAsItsRequestRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Params{Limiter: memory.NewLimiter(), Observer: ports.NopObserver{}, Allowed: Allowances{User: quota.Limits{Concurrent: 1}}})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		who := person(t, 1, 1)
		running := granted(t, s, who, "m", 1, 1)
		time.Sleep(10 * lease)
		if len(granted(t, s, who, "m", 1, 1)) != 0 {
			t.Error("the place of a running request was given away")
		}
		running[0].Settle(t.Context(), 1)
		running[0].Free()
		if len(granted(t, s, who, "m", 1, 1)) != 1 {
			t.Error("a place is not free after its request")
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * lease) // its server has died
		if len(granted(t, s, who, "m", 1, 1)) != 1 {
			t.Error("a place is not free though its server has died")
		}
	})
}

func TestALimiterThatIsAwayRefuses(t *testing.T) {
	t.Parallel()
	limiter := portmock.NewMockLimiter(gomock.NewController(t))
	limiter.EXPECT().Take(gomock.Any(), gomock.Any()).Return(quota.Decision{}, fault.Wrap(fault.Unavailable, errors.New("x"), "It is away."))
	s := New(Params{Limiter: limiter, Observer: ports.NopObserver{}, Allowed: Allowances{User: quota.Limits{Concurrent: 1}}})
	if _, err := s.Take(t.Context(), "1", person(t, 1, 1), quota.Want{}, "m"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

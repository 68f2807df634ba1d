package postgres

import (
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/test/clock"
	"agentapi/test/kit"
	server "agentapi/test/postgres"
)

// claiming has a server claim a key for an hour.
func claiming(t *testing.T, s *Store, key string) (idempotency.Claim, idempotency.Outcome, error) {
	t.Helper()
	at := time.Now()
	c := idempotency.Claim{Key: idempotency.NewKey("r", key), Owner: s.o.Instance, At: at, Until: at.Add(time.Hour)}
	out, err := s.Idempotency().Claim(t.Context(), ann, c)
	return c, out, err
}

// die ends a server without a farewell.
func die(s *Store) {
	s.beat()
	s.beaten.Wait()
	s.close()
}

// The database's clock is set back by an hour: what a dead server claimed is free after
// the time that it would be otherwise, and who lives keeps what it has.
func TestADeadServersClaimsOutliveNoClockThatGoesBack(t *testing.T) {
	t.Parallel()
	c := clock.New(t)
	o := migrated(t, server.By(t, c).Fresh(t))
	o.Lease = 3 * time.Second
	alive, other, dead := start(t, o), start(t, o), start(t, o)
	for key, s := range map[string]*Store{"dead": dead, "alive": alive} {
		if _, _, err := claiming(t, s, key); err != nil {
			t.Fatal(err)
		}
	}
	lease := func(s *Store) bool {
		held, err := s.Upkeep().Lease(t.Context(), "turn", s.o.Instance, time.Now(), o.Lease)
		if err != nil {
			t.Error(err)
		}
		return held
	}
	if !lease(dead) {
		t.Fatal("nobody has the lease")
	}
	die(dead)
	began := time.Now()
	c.Set(t, -time.Hour)
	free := false
	for !free && time.Since(began) < 4*o.Lease {
		_, out, err := claiming(t, other, "dead")
		free = err == nil && out.Claimed
		if _, _, err := claiming(t, other, "alive"); !fault.Is(err, fault.Conflict) {
			t.Fatalf("after %v a server that lives has lost its claim: %v", time.Since(began), err)
		}
		time.Sleep(20 * time.Millisecond) // the clocks are real ones
	}
	took := time.Since(began)
	if !kit.Soon(2*o.Lease, func() bool { return lease(other) }) {
		t.Error("the dead server keeps its lease")
	}
	if !free || took < o.Lease/3 {
		t.Errorf("the dead server's claim is free: %v, after %v", free, took)
	}
	t.Logf("RELIABILITY R15 Postgres' clock set back by an hour: what a dead server held is free after %v, with a lease of %v; 0 taken from who lives", took.Round(100*time.Millisecond), o.Lease)
}

// The database's clock is set forward by five minutes: until its next sign of life a
// server looks dead, and another may take its claim over; but then it can store nothing
// under it any more.
func TestWhoLooksDeadByAClockThatIsSetForwardStoresNothing(t *testing.T) {
	t.Parallel()
	c := clock.New(t)
	o := migrated(t, server.By(t, c).Fresh(t))
	o.Lease = 30 * time.Second // whose signs of life are far apart
	one, other := start(t, o), start(t, o)
	first, _, err := claiming(t, one, "k")
	if err != nil {
		t.Fatal(err)
	}
	c.Set(t, 5*time.Minute)
	second, out, err := claiming(t, other, "k")
	if err != nil || !out.Claimed {
		t.Fatalf("it is not taken over: %+v, %v", out, err)
	}
	complete := func(s *Store, c idempotency.Claim) error {
		return s.Idempotency().Complete(t.Context(), ann, c, idempotency.Result{ID: "one", Completed: time.Now()})
	}
	if err := complete(one, first); fault.As(err) == nil || fault.As(err).Code != idempotency.Passed {
		t.Errorf("who was taken for dead stores: %v", err)
	}
	if err := complete(other, second); err != nil {
		t.Error(err)
	}
	if _, _, err := claiming(t, other, "mine"); err != nil {
		t.Fatal(err)
	}
	if !kit.Soon(time.Second, func() bool { _, _, err := claiming(t, one, "mine"); return fault.Is(err, fault.Conflict) }) {
		t.Error("who shows that it lives is taken for dead")
	}
	t.Logf("RELIABILITY R15 Postgres' clock set forward by 5 min: a claim that was taken from who lives is stored once")
}

package outage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/outage"
	"agentapi/application/trail"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// diary writes down what it is told.
type diary struct {
	ports.NopObserver
	told []string
}

func (d *diary) Degraded(_ context.Context, is ports.Degraded) {
	d.told = append(d.told, fmt.Sprintf("%s %s %v", is.Dep, is.Mode, is.Over))
}

func TestWhatGoesAndComesBackIsToldOnce(t *testing.T) {
	d, at := &diary{}, time.Unix(1000, 0)
	r := outage.New(d, func() time.Time { return at })
	away := errors.New("refused")
	redis := r.Teller(outage.Redis, "client")
	for range 3 {
		redis(true, away)
		at = at.Add(time.Second)
	}
	r.Tell(outage.Redis, "limits", away)
	redis(false, nil)
	if now := r.Now(); len(now) != 1 || now[0].Dep != "redis" || now[0].Mode != "local_limits" || now[0].Why != "refused" {
		t.Errorf("while a part is away: %+v", now)
	}
	r.Tell(outage.Redis, "limits", nil)
	r.Tell(outage.Redis, "limits", nil)
	if err := r.Refusing(); err != nil {
		t.Error(err)
	}
	r.Doubt()
	if f := fault.As(r.Refusing()); f == nil || f.Code != "storage_unavailable" || r.Away(outage.Storage) {
		t.Errorf("after one answer that did not come, refused is with %v", f)
	}
	r.Tell(outage.Storage, "", nil)
	if err := r.Refusing(); err != nil {
		t.Error(err)
	}
	r.Tell(outage.Storage, "", away)
	if f := fault.As(r.Refusing()); f == nil || f.Code != "storage_unavailable" || f.RetryAfter == 0 || !r.Away(outage.Storage) || r.Away(outage.Redis) {
		t.Errorf("refused is with %v", f)
	}
	if now := r.Now(); len(now) != 1 || now[0].Dep != "storage" || now[0].Since != at {
		t.Errorf("away is %+v", now)
	}
	if got, want := strings.Join(d.told, ", "), "redis local_limits false, redis local_limits true, storage refusing false"; got != want {
		t.Errorf("told was %s, not %s", got, want)
	}
}

func TestWhatGoesAndComesBackIsRecordedOnceTheLogTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := outage.New(ports.NopObserver{}, time.Now)
		var (
			away     atomic.Bool
			recorded []string
			done     = make(chan struct{})
		)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			r.Record(ctx, func(_ context.Context, n trail.Note) error {
				if away.Load() {
					return errors.New("no storage")
				}
				recorded = append(recorded, string(n.Action)+" "+n.Details["dep"]+" "+n.Details["mode"])
				return nil
			})
		}()
		r.Tell(outage.Redis, "", errors.New("refused"))
		synctest.Wait()
		away.Store(true)
		r.Tell(outage.Storage, "", errors.New("refused"))
		r.Tell(outage.Storage, "", nil)
		time.Sleep(10 * time.Second)
		away.Store(false)
		time.Sleep(2 * time.Second)
		cancel()
		<-done
		want := "server.degraded redis local_limits, server.degraded storage refusing, server.restored storage refusing"
		if got := strings.Join(recorded, ", "); got != want {
			t.Errorf("recorded was %s, not %s", got, want)
		}
	})
}

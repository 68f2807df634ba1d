package redis

import (
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"agentapi/ports"
	"agentapi/ports/porttest"
	server "agentapi/test/redis"
)

func TestTheBulletinKeepsThePortsContract(t *testing.T) {
	t.Parallel()
	bulletinSuite(t, server.Shared(t))
}

func bulletinSuite(t *testing.T, address string) {
	porttest.Bulletin(t, func(t *testing.T) (one, other ports.Bulletin) {
		a, b := connect(t, address), connect(t, address)
		b.prefix = a.prefix
		return NewBulletin(a), NewBulletin(b)
	})
}

// pair is a server that changes something and one that follows it.
type pair struct {
	redis             *server.Server
	publishes, follow *Bulletin
	state, known      atomic.Int64
	heard             atomic.Int64
}

func newPair(t *testing.T) *pair {
	p := &pair{redis: server.New(t)}
	a, b := connect(t, p.redis.URL), connect(t, p.redis.URL)
	a.prefix, b.prefix = "x:", "x:"
	a.timeout, b.timeout = 150*time.Millisecond, 150*time.Millisecond
	p.publishes, p.follow = NewBulletin(a), NewBulletin(b)
	ctx := t.Context()
	for _, one := range []*Bulletin{p.publishes, p.follow} {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			one.Follow(ctx, map[string]func(){"a": func() {
				if one == p.follow {
					p.heard.Add(1)
					p.known.Store(p.state.Load())
				}
			}})
		}()
		t.Cleanup(func() { <-ended }) // the test's context ends before
	}
	p.soon(t, "the start", func() bool { return p.heard.Load() > 0 })
	return p
}

// change changes something, and publishes it.
func (p *pair) change(t *testing.T) {
	p.state.Add(1)
	p.publishes.Publish(t.Context(), "a")
}

// soon waits until something holds, with room for a machine with much to do.
func (p *pair) soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(4 * time.Second); !holds(); <-look.C {
		if time.Now().After(until) {
			t.Fatalf("%s: it is not heard", what)
		}
	}
}

func (p *pair) told(t *testing.T, what string) {
	t.Helper()
	p.soon(t, what, func() bool { return p.known.Load() == p.state.Load() })
}

func TestNothingIsMissedWhateverBecomesOfRedis(t *testing.T) {
	t.Parallel()
	for name, fate := range map[string]func(t *testing.T, p *pair){
		"D3: all keys are removed before": func(t *testing.T, p *pair) {
			p.redis.Do(t, "FLUSHALL")
			p.change(t)
		},
		"D3: all keys are removed after": func(t *testing.T, p *pair) {
			p.change(t)
			p.redis.Do(t, "FLUSHALL")
		},
		"D4: no memory is left": func(t *testing.T, p *pair) {
			p.redis.Do(t, "CONFIG", "SET", "maxmemory", "1")
			p.change(t)
		},
		"D4: no memory is left, and then no keys": func(t *testing.T, p *pair) {
			p.redis.Do(t, "CONFIG", "SET", "maxmemory", "1")
			p.redis.Do(t, "FLUSHALL")
			p.change(t)
			p.told(t, "the first")
			p.change(t)
		},
		"D5: garbage of another kind": func(t *testing.T, p *pair) {
			p.redis.Do(t, "DEL", "x:{bulletin}:a")
			p.redis.Do(t, "LPUSH", "x:{bulletin}:a", "garbage")
			p.change(t)
		},
		"D5: garbage of the same kind": func(t *testing.T, p *pair) {
			p.redis.Do(t, "SET", "x:{bulletin}:a", "")
			p.change(t)
		},
		"D6: it could not be written for a while": func(t *testing.T, p *pair) {
			p.redis.Do(t, "REPLICAOF", "127.0.0.1", "1")
			p.change(t)
			p.redis.Do(t, "REPLICAOF", "NO", "ONE")
		},
		"D1: it was away": func(t *testing.T, p *pair) {
			p.redis.Kill()
			p.change(t)
			if err := p.redis.Start(); err != nil {
				t.Fatal(err)
			}
		},
		"D2: it said nothing for a while": func(t *testing.T, p *pair) {
			p.redis.Signal(syscall.SIGSTOP)
			p.change(t)
			p.redis.Signal(syscall.SIGCONT)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			fate(t, p)
			p.told(t, name)
			p.change(t)
			p.told(t, "the next change")
		})
	}
}

func TestAPublicationTakesNoLongerThanACall(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.redis.Signal(syscall.SIGSTOP)
	defer p.redis.Signal(syscall.SIGCONT)
	for range 2 * failures {
		start := time.Now()
		p.change(t)
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v", took)
		}
	}
}

func TestWhatIsQuietIsHeardOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.change(t)
	p.told(t, "a change")
	p.change(t)
	p.told(t, "another") // the start is over
	before := p.heard.Load()
	for look := time.NewTicker(4 * lookEvery); ; {
		<-look.C
		look.Stop()
		break
	}
	if n := p.heard.Load() - before; n > 1 {
		t.Errorf("heard %d times of nothing", n)
	}
}

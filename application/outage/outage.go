// Package outage knows what the server does without: which of the things that it
// depends on are away, since when, and what that means for requests.
package outage

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// What the server depends on. The names are published.
const (
	Storage  = "storage"
	Redis    = "redis"
	Identity = "identity"
	Agents   = "agents"
)

// modes is what the server does without each of them.
var modes = map[string]string{
	Storage:  "refusing",           // what needs it is refused before an agent begins
	Redis:    "local_limits",       // each server keeps its part of the limits; caches are passed by
	Identity: "stale_keys",         // known keys of an issuer are good for an hour at most, new ones are refused
	Agents:   "models_unavailable", // nobody who is well answers to some models
}

// Modes gives all that the server may do without, and how.
func Modes() map[string]string { return maps.Clone(modes) }

// Registry keeps what is away. It is safe for concurrent use; none of its methods
// blocks. The zero value does not work.
type Registry struct {
	observer ports.Observer
	now      func() time.Time

	mu      sync.Mutex
	away    map[key]ports.Degraded
	doubted bool             // the storage did not answer the last time
	untold  []ports.Degraded // to the audit log; the oldest go
	wake    chan struct{}    // there is something to tell it
}

// key tells apart those who report the same dependency: it is back when all say so.
type key struct{ dep, part string }

// New makes a Registry that tells the observer when something goes and is back.
func New(observer ports.Observer, now func() time.Time) *Registry {
	return &Registry{observer: observer, now: now, away: make(map[key]ports.Degraded), wake: make(chan struct{}, 1)}
}

// Tell notes that a part of a dependency is away, and why, or with nil that it is
// there. Many may depend on one thing: part names who tells; what it names, such as an
// issuer, is shown to operators only.
func (r *Registry) Tell(dep, part string, err error) {
	r.mu.Lock()
	k := key{dep, part}
	old, was := r.first(dep)
	if dep == Storage {
		r.doubted = err != nil
	}
	if err == nil {
		delete(r.away, k)
	} else if d, known := r.away[k]; known {
		d.Why = err.Error()
		r.away[k] = d
	} else {
		r.away[k] = ports.Degraded{Dep: dep, Mode: modes[dep], Why: err.Error(), Since: r.now()}
	}
	now, is := r.first(dep)
	r.mu.Unlock()
	switch {
	case is && !was:
		r.switched(now)
	case was && !is:
		old.Over = true
		r.switched(old)
	}
}

// Teller gives what tells of one part of a dependency.
func (r *Registry) Teller(dep, part string) func(away bool, err error) {
	return func(away bool, err error) {
		if !away {
			err = nil
		}
		r.Tell(dep, part, err)
	}
}

// first is the part of a dependency that went first.
func (r *Registry) first(dep string) (out ports.Degraded, ok bool) {
	for k, d := range r.away {
		if k.dep == dep && (!ok || d.Since.Before(out.Since)) {
			out, ok = d, true
		}
	}
	return out, ok
}

// Away tells whether a dependency is away.
func (r *Registry) Away(dep string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, away := r.first(dep)
	return away
}

// Doubt notes that the storage has not answered once, which may be for much work: it is
// not away yet, but nothing is begun until Tell hears that it is there.
func (r *Registry) Doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubted = true
}

// Refusing is why a request that needs the storage is not begun: fault.Unavailable,
// code storage_unavailable, from when it did not answer until it does; else nil.
func (r *Registry) Refusing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.doubted {
		return nil
	}
	return fault.New(fault.Unavailable, "The storage is away: what is answered could not be kept.").WithCode("storage_unavailable").WithRetryAfter(time.Second)
}

// Now lists what is away, by name, each once.
func (r *Registry) Now() (out []ports.Degraded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for dep := range modes {
		if d, ok := r.first(dep); ok {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b ports.Degraded) int { return cmp.Compare(a.Dep, b.Dep) })
	return out
}

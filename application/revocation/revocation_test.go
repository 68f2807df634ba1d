package revocation_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/application/access"
	"agentapi/application/completion"
	"agentapi/application/revocation"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

var start = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// runs is what runs, of which nothing ends by itself.
type runs struct {
	mu    sync.Mutex
	all   map[completion.Caller]bool
	ended map[completion.Caller]error
}

func (r *runs) Callers() map[completion.Caller]bool { return r.all }

func (r *runs) Revoke(refused map[completion.Caller]error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.ended, refused)
}

func (r *runs) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ended)
}

func (r *runs) why(c completion.Caller) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := fault.As(r.ended[c]); f != nil {
		return f.Code
	}
	return ""
}

// away is a directory that can be away.
type away struct {
	ports.Directory
	is atomic.Bool
}

func (a *away) Org(ctx context.Context, org tenancy.OrgID) (*tenancy.Org, error) {
	if a.is.Load() {
		return nil, fault.New(fault.Unavailable, "away")
	}
	return a.Directory.Org(ctx, org)
}

// world is an organisation with ann, who has a key, bob, and more people than are looked
// up at once; each has a request running, and ann another by her key.
type world struct {
	runs      *runs
	directory *away
	changed   chan struct{}
	org       tenancy.OrgID
	ann, bob  tenancy.UserID
	key       tenancy.KeyID
}

func person(name string) tenancy.UserID { return access.UserOf("i", name) }

func newWorld(t *testing.T) *world {
	t.Helper()
	var o memory.Options
	o.SetDefaults()
	store, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		runs: &runs{all: make(map[completion.Caller]bool), ended: make(map[completion.Caller]error)}, directory: &away{Directory: store.Directory()}, changed: make(chan struct{}, 1),
		org: access.OrgOf("i", "acme"), ann: person("ann"), bob: person("bob"), key: tenancy.NewKeyID(start, [10]byte{1}),
	}
	names := []string{"ann", "bob"}
	for n := range 250 {
		names = append(names, fmt.Sprint(n))
	}
	for _, name := range names {
		err := w.directory.Enrol(t.Context(), tenancy.Standing{
			Org:    &tenancy.Org{ID: w.org, Issuer: "i", Name: "acme", Title: "acme", Status: tenancy.Active, Version: 1, Created: start, Updated: start},
			User:   &tenancy.User{ID: person(name), Issuer: "i", Subject: name, Status: tenancy.Active, Version: 1, Created: start, Updated: start},
			Member: &tenancy.Member{Org: w.org, User: person(name), Name: name, Role: tenancy.OrgMember, Status: tenancy.Active, Version: 1, Created: start, Updated: start},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.runs.all[w.caller(name)] = true
	}
	err = w.directory.CreateKey(t.Context(), w.in(), &tenancy.APIKey{
		ID: w.key, Org: w.org, User: w.ann, Name: "k", Role: tenancy.OrgMember, Version: 1, Created: start, Updated: start, Expires: start.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.runs.all[w.caller("by key")] = true
	return w
}

// caller is somebody by name, or ann by her key.
func (w *world) caller(name string) completion.Caller {
	if name == "by key" {
		return completion.Caller{Org: w.org, User: w.ann, Key: w.key}
	}
	return completion.Caller{Org: w.org, User: person(name)}
}

func (w *world) in() tenancy.Realm { return tenancy.RealmOf(w.org) }

// watched runs a service for as long as do runs.
func (w *world) watched(t *testing.T, now func() time.Time, do func()) {
	s := revocation.New(revocation.Params{Directory: w.directory, Runs: w.runs, Changed: w.changed, Now: now, Every: 15 * time.Second, Limit: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	var over sync.WaitGroup
	over.Go(func() { s.Run(ctx) })
	defer over.Wait()
	defer cancel()
	do()
}

func TestWhatRunsOfWhoMayNotCallAnyMoreEnds(t *testing.T) {
	everybody := []string{"ann", "by key", "bob", "0", "249"}
	for name, c := range map[string]struct {
		change func(ctx context.Context, w *world) error
		at     time.Duration // after the start
		ends   []string
		code   string
	}{
		"nothing changed": {func(context.Context, *world) error { return nil }, 0, nil, ""},
		"a user is suspended": {func(ctx context.Context, w *world) error {
			return w.directory.UpdateUser(ctx, w.ann, func(u *tenancy.User, _ int) error { u.Status = tenancy.Suspended; return nil })
		}, 0, []string{"ann", "by key"}, "account_suspended"},
		"a member is suspended": {func(ctx context.Context, w *world) error {
			return w.directory.UpdateMember(ctx, w.in(), person("249"), func(m *tenancy.Member) error { m.Status = tenancy.Suspended; return nil })
		}, 0, []string{"249"}, "account_suspended"},
		"a member is removed": {func(ctx context.Context, w *world) error { return w.directory.RemoveMember(ctx, w.in(), w.bob) }, 0, []string{"bob"}, "user_unknown"},
		"the organisation is suspended": {func(ctx context.Context, w *world) error {
			return w.directory.UpdateOrg(ctx, w.org, func(o *tenancy.Org) error { o.Status = tenancy.Suspended; return nil })
		}, 0, everybody, "org_suspended"},
		"a key is revoked": {func(ctx context.Context, w *world) error {
			return w.directory.UpdateKey(ctx, w.in(), w.key, func(k *tenancy.APIKey) error { k.Revoked = start; return nil })
		}, 0, []string{"by key"}, "invalid_api_key"},
		"a key has expired": {func(context.Context, *world) error { return nil }, time.Hour, []string{"by key"}, "invalid_api_key"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.watched(t, func() time.Time { return start.Add(c.at) }, func() {
				if err := c.change(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				w.changed <- struct{}{}
				synctest.Wait()
				if w.runs.count() != len(c.ends) && (c.code != "org_suspended" || w.runs.count() != len(w.runs.all)) {
					t.Errorf("%s: %d end", name, w.runs.count())
				}
				for _, request := range c.ends {
					if got := w.runs.why(w.caller(request)); got != c.code {
						t.Errorf("%s: %s ends with %q", name, request, got)
					}
				}
				if time.Since(began) != 0 {
					t.Errorf("%s: after %v", name, time.Since(began))
				}
			})
		})
	}
}

// While servers cannot tell each other, they look by themselves; while the storage is
// away nobody is shut out who may be good.
func TestNothingNeedsToBeHeardForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.watched(t, time.Now, func() {
			err := w.directory.UpdateOrg(t.Context(), w.org, func(o *tenancy.Org) error { o.Status = tenancy.Suspended; return nil })
			if err != nil {
				t.Fatal(err)
			}
			w.directory.is.Store(true)
			time.Sleep(16 * time.Second)
			synctest.Wait()
			if w.runs.count() != 0 {
				t.Errorf("of whom nothing was known %d end", w.runs.count())
			}
			w.directory.is.Store(false)
			time.Sleep(15 * time.Second)
			synctest.Wait()
			if w.runs.count() != len(w.runs.all) {
				t.Errorf("%d of %d end", w.runs.count(), len(w.runs.all))
			}
		})
	})
}

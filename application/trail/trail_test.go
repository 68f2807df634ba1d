package trail

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

var key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

func open(t *testing.T) (ports.Storage, *Recorder) {
	t.Helper()
	var o memory.Options
	o.SetDefaults()
	s, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	var n byte
	var mu sync.Mutex
	return s, NewRecorder(s, "instance", time.Now, func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		n++
		for i := range b {
			b[i] = n
		}
	})
}

func user(name string) tenancy.Scope {
	var u tenancy.UserID
	var o tenancy.OrgID
	copy(u[:], "user "+name)
	copy(o[:], "an organisation")
	return tenancy.OnBehalf(o, u)
}

func entries(t *testing.T, s ports.Storage) []audit.Sealed {
	t.Helper()
	found, err := s.Trail().List(t.Context(), audit.Filter{}, page.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return found.Items
}

func TestAUserIsAPseudonymThatErasingCutsOff(t *testing.T) {
	s, r := open(t)
	note := Note{Action: audit.SessionDeleted, Who: user("ann"), What: "session", Own: "sess_x", Details: map[string]string{"model": "sk-abcdefghijklmnopqrst", "none": ""}}
	for range 2 {
		if err := r.Record(t.Context(), note); err != nil {
			t.Fatal(err)
		}
	}
	all := entries(t, s)
	if all[0].Columns.Actor != all[1].Columns.Actor || !strings.HasPrefix(all[0].Columns.Actor, "subject_") || all[0].Columns.Target != all[1].Columns.Target {
		t.Errorf("%+v", all)
	}
	for _, clear := range []string{user("ann").User().String(), user("ann").User().UUID(), "sess_x", "sk-abc", "none"} {
		if bytes.Contains(all[0].Canon, []byte(clear)) {
			t.Errorf("%s stands in %s", clear, all[0].Canon)
		}
	}
	if err := r.Forget(t.Context(), user("ann"), 3); err != nil {
		t.Fatal(err)
	}
	if err := r.Forget(t.Context(), user("ann"), 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Record(t.Context(), note); err != nil {
		t.Fatal(err)
	}
	all = entries(t, s)
	if len(all) != 4 || all[2].Columns.Action != audit.DataErased || all[2].Columns.Target != all[0].Columns.Actor {
		t.Fatalf("%+v", all)
	}
	if all[3].Columns.Actor == all[0].Columns.Actor || all[3].Columns.Target == all[0].Columns.Target {
		t.Error("who comes again is known again")
	}
}

func TestWhereSomebodyCameFromCanBeErased(t *testing.T) {
	s, r := open(t)
	in := user("ann")
	at := time.Now()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Directory().Enrol(t.Context(), tenancy.Standing{
		Org:  &tenancy.Org{ID: in.Org(), Issuer: "i", Name: "o", Title: "o", Status: tenancy.Active, Version: 1, Created: at, Updated: at},
		User: &tenancy.User{ID: in.User(), Issuer: "i", Subject: "ann", Status: tenancy.Active, Version: 1, Created: at, Updated: at},
		Member: &tenancy.Member{Org: in.Org(), User: in.User(), Name: "ann", Email: "ann@example.com", Role: tenancy.OrgMember, Status: tenancy.Active,
			Version: 1, Created: at, Updated: at},
	}))
	note := Note{Action: audit.KeyCreated, Who: in, From: tenancy.Origin{Address: netip.MustParseAddr("192.0.2.7"), Agent: "curl/8 \xff\x01é"}}
	must(r.Record(t.Context(), note))
	values, err := s.Audit().Values(t.Context(), in)
	must(err)
	got := map[string]string{}
	for _, v := range values {
		got[v.Name] = v.Clear
		if !bytes.Contains(entries(t, s)[0].Canon, []byte(`"`+v.Name+`":"`+v.Commitment+`"`)) {
			t.Errorf("%s is not in %s", v.Name, entries(t, s)[0].Canon)
		}
	}
	if len(got) != 3 || got["ip"] != "192.0.2.7" || got["user_agent"] != "curl/8 é" || got["email"] != "ann@example.com" {
		t.Errorf("recorded are %v", got)
	}
	// Of what is done in another organisation only the pseudonym is known there.
	elsewhere := note
	elsewhere.Org[0] = 1
	must(r.Record(t.Context(), elsewhere))
	if all := entries(t, s); all[1].Columns.Org != elsewhere.Org || all[1].Columns.Actor != all[0].Columns.Actor || bytes.Contains(all[1].Canon, []byte("personal")) {
		t.Errorf("%s", all[1].Canon)
	}
	must(r.Forget(t.Context(), in, 1))
	if values, err := s.Audit().Values(t.Context(), in); err != nil || len(values) != 0 {
		t.Errorf("left are %v, %v", values, err)
	}
	var out bytes.Buffer
	_, err = Export(t.Context(), s, audit.Filter{}, &out)
	must(err)
	for name, clear := range got {
		if bytes.Contains(out.Bytes(), []byte(clear)) {
			t.Errorf("%s is left in the export", name)
		}
	}
	if v, err := Verify(t.Context(), s, Part{}, nil, nil); err != nil || v.Finding != nil || v.Entries != 3 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestANilRecorderRecordsNothing(t *testing.T) {
	s, _ := open(t)
	var r *Recorder
	e, err := r.Entry(t.Context(), Note{})
	err = errors.Join(err, r.Record(t.Context(), Note{}), r.Forget(t.Context(), user("ann"), 1), s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		return r.Append(ctx, tx, e)
	}))
	if err != nil || len(entries(t, s)) != 0 {
		t.Error(err)
	}
}

// away is a storage whose log cannot be written.
type away struct{ ports.Storage }

func (a away) Audit() ports.Audit { return noAudit{a.Storage.Audit()} }

type noAudit struct{ ports.Audit }

func (noAudit) Append(context.Context, ...audit.Entry) error {
	return fault.New(fault.Unavailable, "The audit log cannot be written.").WithCode("audit_unavailable")
}

func TestAServerDoesNotServeWithoutItsLog(t *testing.T) {
	s, _ := open(t)
	svc := service(away{s}, NewRecorder(away{s}, "i", time.Now, func([]byte) {}), &kept{}, "one")
	if err := svc.Start(t.Context()); !Refused(err) {
		t.Errorf("got %v", err)
	}
}

// kept is where checkpoints are kept.
type kept struct {
	ports.NopObserver
	mu     sync.Mutex
	notes  []string
	broken []audit.Finding
}

func (k *kept) Keep(_ context.Context, note string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes = append(k.notes, note)
	return nil
}

func (k *kept) Kept(context.Context) ([]audit.Checkpoint, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return audit.Notes(strings.Join(k.notes, ""))
}

func (k *kept) AuditBroken(_ context.Context, f audit.Finding) { k.broken = append(k.broken, f) }

// lasting is a storage that others can reach, too.
type lasting struct{ ports.Storage }

func service(s ports.Storage, r *Recorder, k *kept, instance string) *Service {
	return New(Params{Storage: lasting{s}, Recorder: r, Key: key, Keeper: k, Every: time.Minute, Instance: instance, Observer: k, Now: time.Now})
}

func TestCheckpointsAreSignedByOneServerAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		var k, other kept
		one, two := service(s, r, &k, "one"), service(s, r, &other, "two")
		for _, svc := range []*Service{one, two} {
			if err := svc.Start(ctx); err != nil {
				t.Fatal(err)
			}
			go svc.Run(ctx)
		}
		time.Sleep(10*time.Minute + time.Second)
		cancel()
		synctest.Wait()
		if err := one.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(k.notes) != 12 || len(other.notes) != 0 { // at the start, every minute, at the stop
			t.Errorf("one has signed %d, the other %d", len(k.notes), len(other.notes))
		}
		more, err := audit.Notes(strings.Join(k.notes, ""))
		if err != nil {
			t.Fatal(err)
		}
		found, err := Verify(t.Context(), s, Part{}, more, []audit.Key{audit.KeyOf(key)})
		if err != nil || found.Finding != nil || found.Checkpoints != 12 || found.Entries != 4 { // two starts, the first verification of all, a stop
			t.Errorf("%+v, %v", found, err)
		}
	})
}

// changed is a storage in which somebody has changed an entry.
type changed struct{ ports.Storage }

func (c changed) Trail() ports.Trail { return changedTrail{c.Storage.Trail()} }

type changedTrail struct{ ports.Trail }

func (c changedTrail) Range(ctx context.Context, after uint64, most int) ([]audit.Sealed, error) {
	some, err := c.Trail.Range(ctx, after, most)
	for i := range some {
		some[i].Columns.Actor = "another"
	}
	return some, err
}

func TestAServerNoticesThatItsLogWasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := open(t)
		var k kept
		svc := service(changed{s}, r, &k, "one")
		ctx, cancel := context.WithCancel(t.Context())
		if err := svc.Start(ctx); err != nil {
			t.Fatal(err)
		}
		go svc.Run(ctx)
		time.Sleep(5 * time.Minute)
		cancel()
		synctest.Wait()
		if len(k.broken) != 1 || k.broken[0].Kind != audit.Miscopied || k.broken[0].Seq != 1 {
			t.Errorf("%+v", k.broken)
		}
	})
}

func TestAnExportThatIsAPartIsNoExport(t *testing.T) {
	s, r := open(t)
	for range 5 {
		if err := r.Record(t.Context(), Note{Action: audit.ServerStarted, Actor: audit.System}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	done, err := Export(t.Context(), s, audit.Filter{}, &out)
	if err != nil || done.Entries != 5 || done.Last != 5 {
		t.Fatal(done, err)
	}
	text := out.String()
	if v, err := VerifyExport(&audit.Verifier{}, nil, nil, strings.NewReader(text)); err != nil || v.Finding != nil || v.Entries != 5 {
		t.Errorf("%+v, %v", v, err)
	}
	lines := strings.SplitAfter(text, "\n")
	for _, part := range []string{"", lines[0], strings.Join(lines[:5], ""), "x\n"} {
		if _, err := VerifyExport(&audit.Verifier{}, nil, nil, strings.NewReader(part)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", part, err)
		}
	}
	if v, err := VerifyExport(&audit.Verifier{}, nil, nil, strings.NewReader(strings.Join(append(lines[:4:4], lines[5:]...), ""))); err != nil || v.Finding == nil {
		t.Errorf("a cut: %+v, %v", v, err)
	}
}

func TestAServerThatStopsLeavesItsTurnToAnother(t *testing.T) {
	s, r := open(t)
	var k, other kept
	one, two := service(s, r, &k, "one"), service(s, r, &other, "two")
	for _, do := range []func(context.Context) error{one.Start, two.Start, one.Stop, two.Stop} {
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.notes) != 2 || len(other.notes) != 1 {
		t.Errorf("one has signed %d, the other %d", len(k.notes), len(other.notes))
	}
}

// Nobody else can reach a log in memory, so there is no time at which it was verified last
// either, which would grow old and raise an alert.
func TestALogInMemoryIsVerifiedByNobodyUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := open(t)
		svc := service(s, r, &kept{}, "one")
		svc.Storage = s
		ctx, cancel := context.WithCancel(t.Context())
		if err := svc.Start(ctx); err != nil {
			t.Fatal(err)
		}
		go svc.Run(ctx)
		time.Sleep(time.Hour)
		cancel()
		synctest.Wait()
		if st := svc.State(); st != (State{}) {
			t.Errorf("verified: %+v", st)
		}
		if v, err := svc.Verify(t.Context(), Part{}, Note{Actor: audit.System}); err != nil || v.Finding != nil || v.Entries == 0 {
			t.Errorf("asked: %+v, %v", v, err)
		}
	})
}

func TestTheWholeLogIsVerifiedOnceAWeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := open(t)
		for range 2 { // it is one week for a server that was started anew
			ctx, cancel := context.WithCancel(t.Context())
			svc := service(s, r, &kept{}, "one")
			if err := svc.Start(ctx); err != nil {
				t.Fatal(err)
			}
			go svc.Run(ctx)
			time.Sleep(4 * 24 * time.Hour)
			cancel()
			synctest.Wait()
			if err := svc.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for _, e := range entries(t, s) {
			if e.Columns.Action == audit.AuditVerified {
				n++
			}
		}
		if n != 2 { // in the first minute, and after a week
			t.Errorf("verified %d times in eight days", n)
		}
	})
}

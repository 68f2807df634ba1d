package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"agentapi/adapters/storage/bunstore"
	pgstore "agentapi/adapters/storage/postgres"
	"agentapi/adapters/storage/sqlite"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/idempotency"
	"agentapi/domain/roster"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
	"agentapi/test/kit"
	"agentapi/test/postgres"
)

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

// members are two users of one organisation, and one of another.
func members(t *testing.T) (all []tenancy.Scope) {
	t.Helper()
	for _, m := range [][2]string{{"a", "ann"}, {"a", "bob"}, {"b", "eve"}} {
		p, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, m[0]), named(tenancy.UserID{}, m[1]))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Scope())
	}
	return all
}

// odd are messages that storages find hard to keep.
var odd = []chat.Message{
	chat.NewMessage(chat.User, "a NUL \x00 in the text, a quote ' and \\, ünïcode"),
	{Role: chat.User, Parts: []chat.Part{{Kind: chat.TextPart, Text: "look\x00"}, {Kind: chat.ImagePart, JSON: []byte(`{"type":"image_url", "image_url":{"url":"https://e.example/x.png"}}`)}}},
	{Role: chat.Assistant, ToolCalls: []chat.ToolCall{{ID: "call_1", Name: "f", Arguments: `{"a": "\u0000"`}, {ID: "call_2", Custom: true, Name: "g", Arguments: "free\x00text"}}},
	{Role: chat.Tool, ToolCallID: "call_1", Parts: []chat.Part{{Kind: chat.TextPart, Text: ""}}},
	{Role: chat.Assistant, Refusal: "no", Parts: []chat.Part{}},
}

// laden makes a file in which each member has sessions of 40 turns, usage, and a
// finished and a running request.
func laden(t *testing.T, path string, sessions int) {
	t.Helper()
	s := opened(t, path)
	at := time.Now()
	n := 0
	entropy := func() (b [10]byte) {
		n++
		copy(b[:], fmt.Sprintf("%010d", n))
		return b
	}
	for m, in := range members(t) {
		enlisted(t, s, in, m, at)
		for i := range sessions {
			err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
				v := session.New(session.NewID(at, entropy()), in, keyed(i), at)
				v.Title = "A title – with \x00"
				turns := make([]session.Turn, 40)
				for j := range turns {
					message := chat.NewMessage(chat.User, fmt.Sprintf("%d of %d of %d", j, i, m))
					if j < len(odd) {
						message = odd[j]
					}
					turns[j] = session.Turn{ID: session.NewTurnID(at, entropy()), Message: message, Request: "req_1", Finish: chat.Stop, TokensIn: j, TokensOut: 2, Created: session.Moment(at)}
				}
				return errors.Join(tx.Sessions().Create(ctx, in, v), tx.Sessions().Append(ctx, in, v.ID, 0, turns...),
					tx.Usage().Record(ctx, in, usage.Record{ID: usage.NewID(at, entropy()), Session: v.ID, Model: "m", Tokens: chat.Usage{Prompt: i, Completion: 1}, Outcome: usage.Completed, At: at}))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, done := range []bool{true, false} {
			c := claim(fmt.Sprint("key ", done), at)
			_, err := s.Idempotency().Claim(t.Context(), in, c)
			if err == nil && done {
				err = s.Idempotency().Complete(t.Context(), in, c, idempotency.Result{ID: fmt.Sprint("r", m), Model: "m", Created: session.Moment(at), Completed: session.Moment(at),
					Events: []chat.Event{{Kind: chat.Text, Text: "answer\x00"}, {Kind: chat.Stopped, Reason: chat.Stop}, {Kind: chat.Finished}}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Switches().Turn(t.Context(), "resting", func(w *agent.Switch) error { w.Off, w.Changed = true, at; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// enlisted has an identity provider say who a member is, in a group of their own.
func enlisted(t *testing.T, s ports.Storage, in tenancy.Scope, m int, at time.Time) {
	t.Helper()
	realm, name := tenancy.RealmOf(in.Org()), fmt.Sprint("member ", m)
	group := roster.NewGroupID(at, [10]byte{byte(m)})
	err := errors.Join(
		s.Directory().Enrol(t.Context(), tenancy.Standing{
			Org:    &tenancy.Org{ID: in.Org(), Issuer: "i", Name: "o", Title: "o", Status: tenancy.Active, Version: 1, Created: at, Updated: at},
			User:   &tenancy.User{ID: in.User(), Issuer: "i", Subject: name, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
			Member: &tenancy.Member{Org: in.Org(), User: in.User(), Name: name, Role: tenancy.OrgMember, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
		}),
		s.Roster().AddPerson(t.Context(), realm, &roster.Person{Org: in.Org(), User: in.User(), External: "e", UserName: name, Email: "a@example.com", Created: at, Updated: at}),
		s.Roster().AddGroup(t.Context(), realm, &roster.Group{Org: in.Org(), ID: group, Name: name, Created: at, Updated: at}),
		s.Roster().Enlist(t.Context(), realm, group, []tenancy.UserID{in.User()}, nil),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// keyed is the key of a member's n-th session.
func keyed(n int) session.Key { return session.Key{Source: "header", Value: fmt.Sprint(n)} }

func claim(key string, at time.Time) idempotency.Claim {
	return idempotency.Claim{Key: idempotency.NewKey("r", key), Owner: "o", At: at, Until: at.Add(time.Hour)}
}

func opened(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(sqlite.Options{Path: path})
	if err == nil {
		err = s.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func connected(t *testing.T, d *postgres.Database) *pgstore.Store {
	t.Helper()
	o := pgstore.Options{URL: d.App}
	o.SetDefaults()
	o.Timeout = 20 * time.Second
	s, err := pgstore.Open(o)
	if err == nil {
		err = s.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

// kept is all that a member is told by a storage.
type kept struct {
	Sessions  []*session.Session
	Histories [][]session.Turn
	Totals    usage.Totals
	Replay    *idempotency.Result
	Person    *roster.Person
	Groups    []*roster.Group
}

func told(t *testing.T, s ports.Storage, in tenancy.Scope) (k kept) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; ; i++ {
		v, err := s.Sessions().ByKey(t.Context(), in, keyed(i))
		if fault.Is(err, fault.NotFound) {
			break
		}
		check(err)
		k.Sessions = append(k.Sessions, v)
	}
	for _, v := range k.Sessions {
		h, err := s.Sessions().History(t.Context(), in, v.ID)
		check(err)
		k.Histories = append(k.Histories, h)
	}
	var err error
	k.Totals, err = s.Usage().Totals(t.Context(), in)
	check(err)
	out, err := s.Idempotency().Claim(t.Context(), in, claim("key true", time.Now()))
	check(err)
	k.Replay = out.Replay
	k.Person, err = s.Roster().Person(t.Context(), tenancy.RealmOf(in.Org()), in.User())
	check(err)
	k.Groups, err = s.Roster().Belongs(t.Context(), tenancy.RealmOf(in.Org()), in.User())
	check(err)
	return k
}

// alike checks that both storages tell each member the same, and no member
// anything of another organisation's.
func alike(t *testing.T, from, to ports.Storage, sessions int) {
	t.Helper()
	all := members(t)
	for m, in := range all {
		want, got := told(t, from, in), told(t, to, in)
		if len(want.Sessions) != sessions || want.Replay == nil || want.Totals.Requests != int64(sessions) || len(want.Groups) != 1 {
			t.Fatalf("the source tells of %d sessions and %+v, so that this tests nothing", len(want.Sessions), want.Totals)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("member %d is told something else: %d sessions for %d, %+v for %+v", m, len(got.Sessions), len(want.Sessions), got.Totals, want.Totals)
		}
		if out, err := to.Idempotency().Claim(t.Context(), in, claim("key false", time.Now())); err != nil || !out.Claimed {
			t.Errorf("what ran when the source's server ended was copied: %+v, %v", out, err)
		}
		stranger := all[(m+2)%len(all)]
		if _, err := to.Sessions().History(t.Context(), stranger, want.Sessions[0].ID); stranger.Org() != in.Org() && !fault.Is(err, fault.NotFound) {
			t.Errorf("another organisation reads it: %v", err)
		}
	}
}

func TestACopyTellsEveryoneTheSame(t *testing.T) {
	d, env := migrated(t, postgres.Shared(t))
	path := filepath.Join(t.TempDir(), "a.db")
	laden(t, path, 25)
	text, code := agentapi(t, env, "storage", "copy", "--from", "sqlite://"+path, "--json")
	var said struct {
		OK     bool
		Tables []struct {
			Table              string
			Rows, Added, There int64
		}
		Differ []any
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil || code != 0 || !said.OK || len(said.Differ) != 0 || len(said.Tables) != 8 {
		t.Fatalf("exit code %d: %s", code, text)
	}
	for i, rows := range []int64{75, 3000, 75, 3, 3, 3, 3, 3} {
		if got := said.Tables[i]; got.Rows != rows || got.Added != rows || got.There != rows {
			t.Errorf("%+v, not %d", got, rows)
		}
	}
	text, code = agentapi(t, nil, "storage", "copy", "--from", path, "--to", d.App)
	if code != 0 || !strings.Contains(text, "3000 rows, 0 copied now") || !strings.Contains(text, "are the same") {
		t.Errorf("again: exit code %d: %s", code, text)
	}
	to := connected(t, d)
	from := opened(t, path)
	alike(t, from, to, 25)
	for name, s := range map[string]ports.Storage{"the file": from, "the database": to} {
		if all, err := s.Switches().All(t.Context()); err != nil || len(all) != 1 || all[0].Agent != agent.Name("resting") || !all[0].Off || all[0].Version != 2 {
			t.Errorf("out of service by %s: %+v, %v", name, all, err)
		}
	}
	if err := from.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A conversation that the target began under a key of one to come is not mixed up with it.
	eve := members(t)[2]
	v, err := to.Sessions().ByKey(t.Context(), eve, keyed(0))
	if err == nil {
		err = to.Sessions().Delete(t.Context(), eve, v.ID)
	}
	if err == nil {
		err = to.Sessions().Create(t.Context(), eve, session.New(session.NewID(time.Now(), [10]byte{1}), eve, keyed(0), time.Now()))
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, code := agentapi(t, nil, "storage", "copy", "--from", path, "--to", d.App); code != 1 || !strings.Contains(text, "something else where a row of chat_sessions belongs") {
		t.Errorf("a key that is taken: exit code %d: %s", code, text)
	}
}

func TestACopyThatIsBrokenOffGoesOn(t *testing.T) {
	d, _ := migrated(t, postgres.Shared(t))
	path := filepath.Join(t.TempDir(), "a.db")
	laden(t, path, 25)
	from, to := opened(t, path), connected(t, d)
	var last int64
	for _, batches := range []int{1, 3, 2} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := bunstore.Copy(ctx, from.Reads, to.Bulk, func(p bunstore.Progress) {
			if p.Added == 0 {
				return
			}
			if batches--; batches == 0 {
				last = p.Done
				cancel()
			}
		})
		cancel()
		if !fault.Is(err, fault.Canceled) {
			t.Fatalf("broken off: %v", err)
		}
	}
	var first bunstore.Progress
	found, err := bunstore.Copy(t.Context(), from.Reads, to.Bulk, func(p bunstore.Progress) {
		if first.Done < last && p.Added == 0 {
			first = p
		}
	})
	if err != nil || first.Done != last {
		t.Errorf("it went on at %d, not at %d: %v", first.Done, last, err)
	}
	for _, f := range found {
		if !f.Same {
			t.Errorf("%+v", f)
		}
	}
	alike(t, from, to, 25)
}

func TestACopyThatIsKilledGoesOn(t *testing.T) {
	d, env := migrated(t, postgres.Shared(t))
	path := filepath.Join(t.TempDir(), "a.db")
	const sessions = 150
	laden(t, path, sessions)
	to := connected(t, d)
	// Sessions come first, and then their turns.
	begun := func() bool {
		for _, in := range members(t) {
			v, err := to.Sessions().ByKey(t.Context(), in, keyed(0))
			if err != nil {
				continue
			}
			if turns, err := to.Sessions().History(t.Context(), in, v.ID); err == nil && len(turns) > 0 {
				return true
			}
		}
		return false
	}
	cmd := exec.Command(kit.Binary(t), "storage", "copy", "--from", path)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !kit.Soon(20*time.Second, begun) {
		t.Error("nothing was copied")
	}
	_ = cmd.Process.Kill()
	if err := cmd.Wait(); err == nil {
		t.Fatal("it had ended before it was killed, so that this tests nothing")
	}
	if text, code := agentapi(t, env, "storage", "copy", "--from", path); code != 0 || strings.Contains(text, " 18000 copied now") || !strings.Contains(text, "18000 rows") {
		t.Errorf("exit code %d: %s", code, text)
	}
	alike(t, opened(t, path), to, sessions)
}

func TestACopyIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	laden(t, path, 1)
	d := postgres.Shared(t).Fresh(t)
	refused := func(code int, want string, args ...string) {
		t.Helper()
		text, got := agentapi(t, nil, append([]string{"storage", "copy"}, args...)...)
		if got != code || !strings.Contains(text, want) || strings.Contains(text, "pass%20word") {
			t.Errorf("%v: exit code %d: %s", args, got, text)
		}
	}
	refused(4, "agentapi migrate up", "--from", path, "--to", d.App)
	if text, code := agentapi(t, names(d), "migrate", "up"); code != 0 {
		t.Fatal(text)
	}
	postgres.Shared(t).Admin(t, d.Name, "UPDATE agentapi.goose_db_version SET is_applied = false WHERE version_id > 0")
	refused(4, "agentapi migrate up", "--from", path, "--to", d.App)
	postgres.Shared(t).Admin(t, d.Name, "UPDATE agentapi.goose_db_version SET is_applied = true")
	refused(4, "owns the tables", "--from", path, "--to", d.Owner)
	refused(4, "There is no database file", "--from", path+"x", "--to", d.App)
	refused(2, "--from: postgres is not copied from", "--from", d.App, "--to", d.App)
	refused(2, "postgres://", "--from", path, "--to", path)
	s := opened(t, path)
	refused(4, "in use by another agentapi", "--from", path, "--to", d.App)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(0, "are the same", "--from", path, "--to", d.App)

	// A turn elsewhere than it belongs, and turns that are not the source's.
	postgres.Shared(t).Admin(t, d.Name, "DELETE FROM agentapi.chat_messages WHERE seq = 7")
	postgres.Shared(t).Admin(t, d.Name, "UPDATE agentapi.chat_messages SET seq = 99 WHERE seq = 40")
	refused(1, "something else where a row of chat_messages belongs", "--from", path, "--to", d.App)
	postgres.Shared(t).Admin(t, d.Name, "DELETE FROM agentapi.chat_messages", "UPDATE agentapi.chat_sessions SET turns = 41")
	refused(1, "differs: chat_sessions of org_", "--from", path, "--to", d.App)
}

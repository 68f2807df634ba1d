package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
	"agentapi/ports/porttest"
	server "agentapi/test/postgres"
)

// login opens a plain connection pool of one connection.
func login(t *testing.T, address string) *sql.DB {
	t.Helper()
	p, err := newPool(&Options{URL: address, Timeout: time.Minute}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p.db.DB
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func one[T any](t *testing.T, db *sql.DB, query string) (v T) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

var (
	ann = scope("a", "ann")
	eve = scope("b", "eve")
)

// furnished has a conversation, usage and idempotency keys of ann's.
func furnished(t *testing.T, s *Store) *session.Session {
	t.Helper()
	at := time.Now()
	v := session.New(session.NewID(at, [10]byte{1}), ann, session.Key{Source: "header", Value: "key"}, at)
	turn := session.Turn{ID: session.NewTurnID(at, [10]byte{2}), Message: chat.NewMessage(chat.User, "canary"), Created: at}
	claim := idempotency.Claim{Key: idempotency.NewKey("r", "k"), Owner: "o", At: at, Until: at.Add(time.Hour)}
	err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Sessions().Create(ctx, ann, v); err != nil {
			return err
		}
		if err := tx.Sessions().Append(ctx, ann, v.ID, 0, turn); err != nil {
			return err
		}
		if err := tx.Usage().Record(ctx, ann, usage.Record{ID: usage.NewID(at, [10]byte{3}), At: at}); err != nil {
			return err
		}
		_, err := tx.Idempotency().Claim(ctx, ann, claim)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Turns = 1
	return v
}

var tables = strings.Split(strings.ReplaceAll(tenantTables, "'", ""), ", ")

func TestWithoutATenantThereIsNothing(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	furnished(t, s)
	db := login(t, d.App)
	for _, table := range tables {
		if n := one[int](t, db, "SELECT count(*) FROM agentapi."+table); n != 0 {
			t.Errorf("%s: %d rows show without a tenant", table, n)
		}
	}
	// After a transaction that named one the setting is '', which is no uuid.
	execute(t, db, "BEGIN; SET LOCAL agentapi.org_id = '"+ann.Org().UUID()+"'; COMMIT")
	if v := one[*string](t, db, "SELECT current_setting('agentapi.org_id', true)"); v == nil || *v != "" {
		t.Errorf("the setting is %v, so that this tests nothing", v)
	}
	for _, table := range tables {
		if n := one[int](t, db, "SELECT count(*) FROM agentapi."+table); n != 0 {
			t.Errorf("%s: %d rows show after a tenant has gone", table, n)
		}
	}
	for _, statement := range []string{"DELETE FROM agentapi.chat_sessions", "UPDATE agentapi.usage SET model = 'x'"} {
		r, err := db.ExecContext(t.Context(), statement)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := r.RowsAffected(); n != 0 {
			t.Errorf("%s: reached %d rows", statement, n)
		}
	}
	insert := fmt.Sprintf("INSERT INTO agentapi.chat_sessions (org_id, id, user_id) VALUES ('%s', '%s', '%s')", ann.Org().UUID(), session.NewID(time.Now(), [10]byte{9}).UUID(), ann.User().UUID())
	if _, err := db.ExecContext(t.Context(), insert); sqlstate(err) != "42501" {
		t.Errorf("an insert without a tenant: %v", err)
	}
}

func TestTheOwnerIsBoundToo(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	furnished(t, s)
	db := login(t, d.Owner)
	for _, table := range tables {
		if n := one[int](t, db, "SELECT count(*) FROM agentapi."+table); n != 0 {
			t.Errorf("%s: %d rows show to the owner", table, n)
		}
	}
}

// A setting of a session reaches whoever has the pooler's connection next; ours
// ends with its transaction.
func TestATenantDoesNotLeakThroughThePooler(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	pooler := server.Shared(t).Pooled(t)
	o := migrated(t, d)
	o.URL = d.At(o.URL, pooler.Addr)
	s := start(t, o)
	v := furnished(t, s)
	other := login(t, o.URL)
	var seen int
	for range 30 {
		if _, err := s.Sessions().Get(t.Context(), ann, v.ID); err != nil {
			t.Fatal(err)
		}
		if got := one[string](t, other, "SELECT coalesce(current_setting('agentapi.org_id', true), '')"); got != "" {
			t.Errorf("another client finds the tenant %s", got)
		}
		seen += one[int](t, other, "SELECT count(*) FROM agentapi.chat_sessions")
	}
	if seen != 0 {
		t.Errorf("another client saw %d rows", seen)
	}
	// The control: what we do not do does leak.
	execute(t, login(t, o.URL), "SELECT set_config('agentapi.org_id', '"+ann.Org().UUID()+"', false)")
	leaked := false
	for range 30 {
		leaked = leaked || one[int](t, other, "SELECT count(*) FROM agentapi.chat_sessions") == 1
	}
	if !leaked {
		t.Error("a session's setting does not leak here, so that this tests nothing")
	}
}

func TestARowCannotPointIntoAnothersRows(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	v := furnished(t, s)
	db := login(t, d.App)
	insert := fmt.Sprintf("BEGIN; SET LOCAL agentapi.org_id = '%[1]s'; INSERT INTO agentapi.chat_messages (org_id, session_id, seq, id, role) VALUES ('%[1]s', '%[2]s', 2, '%[2]s', 'user'); COMMIT",
		eve.Org().UUID(), v.ID.UUID())
	if _, err := db.ExecContext(t.Context(), insert); sqlstate(err) != "23503" {
		t.Errorf("a message of one tenant in a session of another's: %v", err)
	}
}

func TestAnIDThatIsTakenElsewhereIsFree(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	v := furnished(t, s)
	mine := *v
	mine.Org, mine.User = eve.Org(), eve.User()
	if err := s.Sessions().Create(t.Context(), eve, &mine); err != nil {
		t.Errorf("an id tells that another tenant has it: %v", err)
	}
	if err := s.Usage().Record(t.Context(), eve, usage.Record{ID: usage.NewID(v.Created, [10]byte{3}), At: v.Created}); err != nil {
		t.Error(err)
	}
	if sum, err := s.Usage().Totals(t.Context(), eve); err != nil || sum.Requests != 1 {
		t.Errorf("the record is lost: %+v, %v", sum, err)
	}
	for _, unique := range uniques(t, s) {
		if !strings.HasPrefix(unique, "org_id") && unique != "chain,seq" { // which no tenant chooses
			t.Errorf("a unique index begins with %s", unique)
		}
	}
}

// uniques gives the columns of the unique indexes of tenant tables.
func uniques(t *testing.T, s *Store) (out []string) {
	t.Helper()
	rows, err := s.reads.db.QueryContext(t.Context(), `SELECT string_agg(a.attname, ',' ORDER BY k.n)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid CROSS JOIN unnest(i.indkey) WITH ORDINALITY k (attnum, n)
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
		WHERE i.indisunique AND c.relname IN (`+tenantTables+`) GROUP BY i.indexrelid`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var columns string
		if err := rows.Scan(&columns); err != nil {
			t.Fatal(err)
		}
		out = append(out, columns)
	}
	if len(out) < 6 {
		t.Errorf("only %d unique indexes were found", len(out))
	}
	return out
}

// The second lock holds against the owner's mistakes, not against foreign SQL: a
// text must never become a statement.
func TestTextsStayTexts(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	furnished(t, s)
	org := ann.Org().UUID()
	for i, text := range []string{
		"'; SET LOCAL agentapi.org_id = '" + org + "'; --", `\'; DELETE FROM agentapi.chat_sessions; --`, "$1 ? ?0 ?name $tag$ x $tag$",
		"' || (SELECT set_config('agentapi.org_id', '" + org + "', true)) || '", "E'\\x27'", "\\", "''", "/*", "\u02bc\uff07", "a\x00';--", "\xff'; --",
	} {
		at := time.Now()
		v := session.New(session.NewID(at, [10]byte{5, byte(i)}), eve, session.Key{Source: text, Value: text}, at)
		v.Title, v.Agent, v.Model, v.Native = text, "a", text, text
		turn := session.Turn{
			ID: session.NewTurnID(at, [10]byte{5, byte(i)}), Request: text, Model: text, Created: session.Moment(at),
			Message: chat.Message{Role: chat.Assistant, Name: text, Refusal: text, Parts: []chat.Part{{Kind: chat.TextPart, Text: text}}, ToolCalls: []chat.ToolCall{{ID: text, Name: text, Arguments: text}}},
		}
		err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			if err := tx.Sessions().Create(ctx, eve, v); err != nil {
				return err
			}
			return tx.Sessions().Append(ctx, eve, v.ID, 0, turn)
		})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		turns, err := s.Sessions().History(t.Context(), eve, v.ID)
		if text = strings.ToValidUTF8(text, "\ufffd"); err != nil || len(turns) != 1 || turns[0].Message.Text() != text || turns[0].Message.ToolCalls[0].Arguments != text || turns[0].Message.Name != text {
			t.Errorf("%q came back as %+v, %v", text, turns, err)
		}
		if _, err := s.Sessions().ByKey(t.Context(), eve, session.Key{Source: text, Value: text}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		list, err := s.Sessions().List(t.Context(), eve, session.Filter{}, page.Query{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list.Items {
			if l.Org != eve.Org() {
				t.Errorf("%q opened another tenant's rows", text)
			}
		}
	}
	if _, err := s.Sessions().ByKey(t.Context(), ann, session.Key{Source: "header", Value: "key"}); err != nil {
		t.Errorf("the other tenant's session: %v", err)
	}
}

func TestNoViewAndNoFunctionIsAWayAround(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	migrated(t, d)
	db := login(t, d.Owner)
	if n := one[int](t, db, `SELECT count(*) FROM pg_class c WHERE relnamespace = 'agentapi'::regnamespace AND (relkind = 'm'
		OR relkind = 'v' AND NOT coalesce(reloptions @> '{security_invoker=true}', false))`); n != 0 {
		t.Errorf("%d views show rows with their owner's rights", n)
	}
	if n := one[int](t, db, `SELECT count(*) FROM pg_proc WHERE pronamespace = 'agentapi'::regnamespace AND prosecdef
		AND NOT coalesce(proconfig @> '{"search_path=agentapi, pg_temp"}', false)`); n != 0 {
		t.Errorf("%d functions run as their owner with a search path that is not fixed", n)
	}
	if n := one[int](t, db, `SELECT count(*) FROM pg_proc WHERE pronamespace = 'agentapi'::regnamespace AND prosecdef AND has_function_privilege('public', oid, 'EXECUTE')`); n != 0 {
		t.Errorf("%d of them may be called by anybody", n)
	}
	if n := one[int](t, db, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'agentapi'::regnamespace AND prosecdef"); n != 15 {
		t.Errorf("%d functions run as their owner", n)
	}
}

// A tenant's table is one with an org_id. Each is protected, and each index that
// a tenant's rows are found by begins with it.
func TestEveryTenantTableIsProtectedAndIndexedByTenant(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	migrated(t, d)
	db := login(t, d.Owner)
	if names := one[string](t, db, `SELECT string_agg(quote_literal(c.relname), ', ' ORDER BY array_position(ARRAY[`+tenantTables+`]::name[], c.relname))
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' WHERE c.relnamespace = 'agentapi'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition`); names != tenantTables {
		t.Errorf("tenant tables are %s; the start checks %s", names, tenantTables)
	}
	if n := one[int](t, db, `SELECT count(*) FROM pg_class c WHERE relname IN (`+tenantTables+`) AND NOT (relrowsecurity AND relforcerowsecurity
		AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant' AND p.polqual IS NOT NULL
			AND (p.polcmd = '*' AND p.polwithcheck IS NOT NULL OR p.polcmd = 'r' AND c.relname = 'audit')))`); n != 0 {
		t.Errorf("%d tables are without a policy or do not force it", n)
	}
	others := one[string](t, db, `SELECT coalesce(string_agg(c.relname, ',' ORDER BY c.relname), '') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class tab ON tab.oid = i.indrelid
		JOIN pg_attribute a ON a.attrelid = tab.oid AND a.attnum = i.indkey[0] WHERE tab.relname IN (`+tenantTables+`) AND a.attname <> 'org_id'`)
	// By which a key or an invitation is found, what is old is forgotten, for all, and the audit log is read as a whole.
	if others != "api_keys_id,audit_actor,audit_at,audit_pkey,budget_holds_expire,chat_sessions_updated,idempotency_completed,idempotency_running,invitations_email,jobs_finished,jobs_open,usage_created" {
		t.Errorf("indexes that do not begin with the tenant: %s", others)
	}
}

func TestForgettingReachesOnlyWhatIsDone(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	furnished(t, s) // with a key that is running
	db := login(t, d.App)
	if n := one[int](t, db, "SELECT agentapi.forget_idempotency(now() + interval '1 day', 100)"); n != 0 {
		t.Errorf("%d running claims were forgotten", n)
	}
	if _, err := s.Idempotency().Claim(t.Context(), ann, idempotency.Claim{Key: idempotency.NewKey("r", "k"), Owner: "o", At: time.Now(), Until: time.Now()}); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
}

// What would outlive a transaction is lost or leaks behind a pooler.
func TestNothingIsKeptInASession(t *testing.T) {
	kept := regexp.MustCompile(`\b(LISTEN|NOTIFY|UNLISTEN|WITH HOLD|CREATE TEMP|PREPARE|pg_(try_)?advisory_lock)\b|set_config\([^)]*false\)|"SET [^L]`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../bunstore/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, more...) {
		if strings.HasSuffix(name, "_test.go") || name == "migrate.go" || name == "diagnose.go" { // a connection of its own; words for people
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := kept.Find(text); found != nil {
			t.Errorf("%s: %s", name, found)
		}
	}
}

func TestEveryTransactionIsBounded(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	pooler := server.Shared(t).Pooled(t)
	o := migrated(t, d)
	o.URL = d.At(o.URL, pooler.Addr)
	s := start(t, o)
	for _, setting := range []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} {
		var inside, after string
		err := s.ask(t.Context(), func(ctx context.Context, w *wire) error {
			return w.QueryRowContext(ctx, "SELECT current_setting('"+setting+"')").Scan(&inside)
		})
		after = one[string](t, login(t, o.URL), "SELECT current_setting('"+setting+"')")
		if err != nil || inside == "0" || after != "0" {
			t.Errorf("%s is %s in a transaction and %s after it, %v", setting, inside, after, err)
		}
	}
}

// With the first lock taken out, the application asks for whatever it is told to;
// the database, which was told who is really asking, gives nothing.
func TestTheDatabaseAloneKeepsTenantsApart(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	v := furnished(t, s)
	porttest.Trespass(t, ann, v, func(name string, ask func(context.Context, ports.Repositories) error) error {
		w := s.writes.wire(nil)
		defer w.release()
		w.add("BEGIN")
		w.add(s.settings)
		w.add("SET LOCAL agentapi.org_id = '" + eve.Org().UUID() + "'")
		w.add(savepoint)
		w.careful = true
		if err := w.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := ask(t.Context(), bunstore.Entering(w, kind, func(context.Context, tenancy.OrgID) error { return nil }))
		if err == nil && (strings.HasSuffix(name, "Create") || strings.HasSuffix(name, "Record") || strings.HasSuffix(name, "Claim")) {
			t.Errorf("%s writes into another tenant", name)
		}
		if err == nil && name == "Usage.Totals" {
			sum, err := bunstore.Entering(w, kind, func(context.Context, tenancy.OrgID) error { return nil }).Usage().Totals(t.Context(), ann)
			if err != nil || sum != (usage.Totals{}) {
				t.Errorf("another tenant's sums show: %+v, %v", sum, err)
			}
		}
		return err
	})
	if got, err := s.Sessions().Get(t.Context(), ann, v.ID); err != nil || got.Turns != 1 {
		t.Errorf("the session has changed: %+v, %v", got, err)
	}
}

// With the second lock taken out, the repositories alone keep every promise.
func TestTheRepositoriesAloneKeepTenantsApart(t *testing.T) {
	open := func(t *testing.T) ports.Storage {
		d := server.Shared(t).Fresh(t)
		s := start(t, migrated(t, d))
		for _, table := range tables {
			server.Shared(t).Admin(t, d.Name, "ALTER TABLE agentapi."+table+" DISABLE ROW LEVEL SECURITY")
		}
		return s
	}
	porttest.Storage(t, open)
}

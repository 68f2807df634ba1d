package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/budget"
	"agentapi/domain/chat"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/retention"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
	"agentapi/ports/porttest"
	server "agentapi/test/postgres"
)

// recorder keeps the queries that bun makes.
type recorder struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (r *recorder) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[e.Query] = true
	return ctx
}

func (r *recorder) AfterQuery(context.Context, *bun.QueryEvent) {}

// fill has 200 organisations with 500 sessions of a message each, and as much of
// all else.
const fill = `
	INSERT INTO agentapi.chat_sessions (org_id, id, user_id, key_source, key_value, turns)
	SELECT md5('org' || n % 200)::uuid, md5('session' || n)::uuid, md5('user' || n % 200 || (n / 200) % 10)::uuid, 'header', 'key' || n, 1 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.chat_messages (org_id, session_id, seq, id, role, content)
	SELECT md5('org' || n % 200)::uuid, md5('session' || n)::uuid, 1, md5('message' || n)::uuid, 'user', 'hello' FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.usage (org_id, id, user_id, request, session_id, agent, model, prompt_tokens, completion_tokens, details, outcome)
	SELECT md5('org' || n % 200)::uuid, (left(agentapi.usage_bound(now() + n % 4 * interval '32 days')::text, 14) || right(md5('usage' || n)::uuid::text, 22))::uuid, md5('user' || n % 200 || (n / 200) % 10)::uuid, 'r', md5('session' || n)::uuid, 'a', 'm', 1, 2, '{}', 'completed' FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.idempotency (org_id, user_id, key, body, owner, claimed_at, lapses_at, done, result, completed_at)
	SELECT md5('org' || n % 200)::uuid, md5('user' || n % 200 || (n / 200) % 10)::uuid, md5('key' || n), '', 'o', now(), now(), true, '{}', now() - n * interval '1 s' FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.orgs (id, issuer, name, title, status, version)
	SELECT md5('org' || n)::uuid, 'i', 'o' || n, 't' || n, 'active', 1 FROM generate_series(0, 9999) n;
	INSERT INTO agentapi.users (id, issuer, subject, platform, status, version)
	SELECT md5('user' || n)::uuid, 'i', 's' || n, CASE WHEN n < 10 THEN 'platform_admin' ELSE '' END, 'active', 1 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.memberships (org_id, user_id, role, status, version)
	SELECT md5('org' || n % 200)::uuid, md5('user' || n)::uuid, 'org_member', 'active', 1 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.api_keys (org_id, id, user_id, name, hint, hash, pepper, role, version)
	SELECT md5('org' || n % 200)::uuid, md5('key' || n)::uuid, md5('user' || n)::uuid, 'k', 'h', 'h', 'p', 'org_member', 1 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.budgets SELECT md5('org' || n % 200)::uuid, md5('budget' || n)::uuid, md5('user' || n)::uuid, NULL, 'month', 1000, 1, now(), now() FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.budget_windows SELECT md5('org' || n % 200)::uuid, md5('budget' || n)::uuid, date_trunc('month', now(), 'UTC'), 5 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.budget_charges SELECT md5('org' || n % 200)::uuid, md5('charge' || n)::uuid, md5('user' || n)::uuid, NULL, 5, now() FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.budget_holds SELECT md5('org' || n % 200)::uuid, md5('hold' || n)::uuid, md5('user' || n)::uuid, NULL, 5, now() + interval '1 hour' FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.jobs (org_id, id, kind, user_id, asked_by, other_id, state, rows_done, code, message, tries, holder, finished_at, version, created_at, updated_at)
	SELECT md5('org' || n % 200)::uuid, md5('job' || n)::uuid, 'user.erase', md5('user' || n)::uuid, md5('user' || n)::uuid, md5('user' || n)::uuid, CASE n % 1000 WHEN 0 THEN 'queued' ELSE 'succeeded' END, 1, '', '', 1, '', CASE n % 1000 WHEN 0 THEN NULL ELSE now() END, 1, now(), now() FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.invitations (org_id, id, email, email_key, role, invited_by, status, expires_at, accepted_by, version)
	SELECT md5('org' || n % 200)::uuid, md5('invitation' || n)::uuid, n || '@example.com', n || '@example.com', 'org_member', md5('user' || n)::uuid, CASE n % 2 WHEN 0 THEN 'pending' ELSE 'accepted' END, now() + interval '1 day', md5('user' || n)::uuid, 1 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.scim_users (org_id, user_id, external_id, user_name, name_key, given, family, formatted, display, email, email_key, version)
	SELECT md5('org' || n % 200)::uuid, md5('user' || n)::uuid, 'e' || n, 'n' || n, 'n' || n, '', '', '', '', 'm' || n, 'm' || n, 1 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.scim_groups (org_id, id, external_id, name, name_key, version)
	SELECT md5('org' || n % 200)::uuid, md5('group' || n)::uuid, 'e' || n, 'n' || n, 'n' || n, 1 FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.scim_members (org_id, group_id, user_id)
	SELECT md5('org' || n % 200)::uuid, md5('group' || n)::uuid, md5('user' || n)::uuid FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.audit
	SELECT 1, n, md5('org' || n % 200)::uuid, n, md5('audit' || n)::uuid, n * 1000000::bigint, 'subject_' || n % 2000, 'chat.completed', '', 'ok', 'r', 'i', convert_to(repeat('x', 400), 'UTF8'), sha256('x'), sha256('x')
	FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.audit_checkpoints (size, note) SELECT n, 'x' FROM generate_series(1, 10000) n;
	INSERT INTO agentapi.audit_subjects SELECT md5('org' || n % 200)::uuid, md5('user' || n)::uuid, md5('subject' || n)::uuid, 'x' FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.audit_values SELECT md5('org' || n % 200)::uuid, md5('subject' || n)::uuid, 'ip', 'c', 'x' FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.agent_health_changes
	SELECT md5('change' || n)::uuid, 'agent' || n % 200, 'i', 'healthy', 'degraded', '', 0, 0, 0, 0, 0, now() - n * interval '1 minute' FROM generate_series(1, 100000) n;
	INSERT INTO agentapi.instances (id, until) SELECT 'i' || n, now() FROM generate_series(1, 10000) n;`

func TestNoQueryReadsAWholeTable(t *testing.T) {
	t.Parallel()
	pg := server.Shared(t)
	d := pg.Fresh(t)
	s := start(t, migrated(t, d))
	// Two months of usage, and one that nobody has made yet.
	if _, err := s.Upkeep().Rotate(t.Context(), time.Now(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	pg.Admin(t, d.Name, fill)
	pg.Admin(t, d.Name, "VACUUM ANALYZE")
	r := &recorder{seen: map[string]bool{}}
	for _, p := range []*pool{s.reads, s.writes} {
		p.db = p.db.WithQueryHook(r)
	}
	v := furnished(t, s)
	porttest.Trespass(t, ann, v, func(_ string, ask func(context.Context, ports.Repositories) error) error {
		if err := ask(t.Context(), s); err != nil {
			return err
		}
		return context.Canceled // it is ann's own, and may succeed
	})
	at := time.Now()
	again := session.New(session.NewID(at, [10]byte{7}), ann, session.Key{}, at)
	turn := session.Turn{ID: session.NewTurnID(at, [10]byte{8}), Message: chat.NewMessage(chat.User, "x"), Created: at}
	c := idempotency.Claim{Key: idempotency.NewKey("r", "mine"), Owner: "o", At: at, Until: at}
	_, claimed := s.Idempotency().Claim(t.Context(), ann, c)
	_, met := s.Idempotency().Claim(t.Context(), ann, c)
	for _, f := range []session.Filter{
		{Status: session.Open}, {Agent: "a", Model: "m"}, {Since: at.Add(-time.Hour), Until: at}, {Title: "50%"},
		{Status: session.Archived, Agent: "a", Since: at.Add(-time.Hour), Title: "x"},
	} {
		for _, q := range []page.Query{{Limit: 20, Desc: true}, {Limit: 20, After: again.ID.String()}} {
			if _, err := s.Sessions().List(t.Context(), ann, f, q); err != nil {
				t.Fatal(err)
			}
			for _, user := range []tenancy.UserID{{}, ann.User()} {
				if f.User = user; f.Title == "" {
					if _, err := s.Sessions().ListAll(t.Context(), tenancy.RealmOf(ann.Org()), f, q); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	_, cursor := s.Sessions().List(t.Context(), ann, session.Filter{}, page.Query{Limit: 20, Desc: true, After: again.ID.String()})
	for _, err := range []error{
		s.Sessions().Create(t.Context(), ann, again), s.Sessions().Append(t.Context(), ann, again.ID, 0, turn), claimed, met, cursor,
		s.Idempotency().Complete(t.Context(), ann, c, idempotency.Result{Completed: at}), s.Idempotency().Release(t.Context(), ann, c),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range []page.Query{{Limit: 2, After: turn.ID.String()}, {Limit: 2, Desc: true}} {
		if _, err := s.Sessions().Turns(t.Context(), ann, again.ID, q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Idempotency().Prune(t.Context(), at.Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	funded(t, s)
	copiedTwice(t, s)
	provisioned(t, s)
	registered(t, s)
	trailed(t, s)
	for _, q := range []page.Query{{Limit: 20, Desc: true}, {Limit: 20, After: agent.NewChangeID(at, [10]byte{}).String()}} {
		if _, err := s.Agents().Changes(t.Context(), "agent7", q); err != nil {
			t.Fatal(err)
		}
	}
	old := retention.Rule{Kind: retention.AgentHealth, Before: at.Add(-69 * 24 * time.Hour)}
	if _, err := s.Upkeep().Expiring(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Upkeep().Expire(t.Context(), old, 500); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Jobs().List(t.Context(), tenancy.RealmOf(ann.Org()), page.Query{Limit: 20, Desc: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Jobs().Free(t.Context(), time.Now(), 20); err != nil {
		t.Fatal(err)
	}
	r.seen["SELECT j.org_id, j.id FROM jobs j WHERE j.state IN ('queued', 'running') AND (j.state = 'queued' OR j.until <= now()) ORDER BY j.id LIMIT 20"] = true
	r.seen["DELETE FROM jobs WHERE finished_at < now() - interval '30 days'"] = true
	month := usage.Query{Since: time.Now().Add(-30 * 24 * time.Hour), Until: time.Now(), Width: 24 * time.Hour, By: usage.Dimensions(), Users: []tenancy.UserID{ann.User()}}
	if _, err := s.Usage().Report(t.Context(), tenancy.RealmOf(ann.Org()), month); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Usage().Records(t.Context(), ann, usage.ID{}, 500); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upkeep().Erase(t.Context(), ann, tenancy.UserID{}, 100); err != nil {
		t.Fatal(err)
	}
	// What the functions do, and what no bun query is.
	r.seen["SELECT ctid FROM chat_sessions WHERE updated_at < now() - interval '1 day' AND org_id <> ALL ('{}'::uuid[]) LIMIT 500 FOR UPDATE SKIP LOCKED"] = true
	r.seen["DELETE FROM chat_messages WHERE ctid = ANY (ARRAY(SELECT m.ctid FROM chat_sessions s JOIN chat_messages m ON m.org_id = s.org_id AND m.session_id = s.id WHERE s.ctid = ANY ('{\"(0,1)\"}'::tid[]) LIMIT 5000))"] = true
	r.seen["DELETE FROM idempotency WHERE NOT done AND ctid = ANY (ARRAY(SELECT ctid FROM idempotency WHERE NOT done AND lapses_at < now() - interval '1 day' ORDER BY lapses_at LIMIT 1000))"] = true
	r.seen["WITH old AS (SELECT org_id, id FROM usage WHERE created_at < now() - interval '1 day' AND org_id <> ALL ('{}'::uuid[]) LIMIT 500 FOR UPDATE SKIP LOCKED), "+
		"gone AS (DELETE FROM usage u USING old WHERE u.org_id = old.org_id AND u.id = old.id RETURNING 1) SELECT count(*) FROM gone"] = true
	r.seen["DELETE FROM idempotency WHERE done AND ctid = ANY (ARRAY(SELECT ctid FROM idempotency WHERE done AND completed_at < now() - interval '1 day' ORDER BY completed_at LIMIT 1000))"] = true
	r.seen["SELECT i.* FROM invitations i JOIN orgs o ON o.id = i.org_id WHERE i.email_key = '8@example.com' AND i.status = 'pending' AND i.expires_at > now() AND o.issuer = 'i' AND o.status = 'active' ORDER BY i.id LIMIT 1"] = true
	r.seen["SELECT 1 FROM instances WHERE id = 'i7' FOR UPDATE"] = true
	explained := 0
	for query := range r.seen {
		verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
		switch verb {
		case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH":
		default:
			continue
		}
		if strings.Contains(query, "forget_idempotency") || !strings.Contains(query, "\"") && !strings.Contains(query, "FROM i") && !strings.Contains(query, "SKIP LOCKED") {
			continue // no query of tables
		}
		if plan := explain(t, d, query); strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s\n%s", query, plan)
		}
		explained++
	}
	if explained < 20 {
		t.Errorf("only %d queries were explained", explained)
	}
	t.Logf("%d queries on 100,000 rows each: no table is read as a whole", explained)
}

// trailed asks the audit log for all that there is to ask.
func trailed(t *testing.T, s *Store) {
	t.Helper()
	for _, f := range []audit.Filter{
		{}, {Org: ann.Org()}, {Actor: "subject_7"}, {Action: audit.ChatCompleted}, {Since: time.UnixMicro(1000), Until: time.Now()},
		{Org: ann.Org(), Actor: "subject_7", Since: time.UnixMicro(1000)},
	} {
		for _, q := range []page.Query{{Limit: 20, Desc: true}, {Limit: 20, After: "500"}} {
			if _, err := s.Trail().List(t.Context(), f, q); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, head := s.Trail().Head(t.Context())
	_, some := s.Trail().Range(t.Context(), 50_000, 100)
	_, last := s.Trail().Checkpoints(t.Context(), 5000, 100)
	if err := errors.Join(head, some, last); err != nil {
		t.Fatal(err)
	}
}

// explain gives the plan that the server's role would get. The owner's function
// deletes as its owner does.
func explain(t *testing.T, d *server.Database, query string) string {
	t.Helper()
	address := d.App
	if strings.HasPrefix(query, "DELETE FROM idempotency WHERE") || strings.Contains(query, "tid[]") || strings.Contains(query, "SKIP LOCKED") || strings.Contains(query, "JOIN orgs o") {
		address = d.Owner
	}
	p, err := newPool(&Options{URL: address, Timeout: time.Minute}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close() // there are more queries than a server has connections
	conn, err := p.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("BEGIN; SET LOCAL search_path = agentapi; SET LOCAL agentapi.upkeep = 'on'; SET LOCAL agentapi.audit = 'on'; SET LOCAL agentapi.find_invited = '8@example.com'; SET LOCAL agentapi.org_id = '%s'", ann.Org().UUID())); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN "+query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.ExecContext(t.Context(), "ROLLBACK")
	return plan.String()
}

// registered asks for everything of the directory.
func registered(t *testing.T, s *Store) {
	t.Helper()
	d, ctx, in := s.Directory(), t.Context(), tenancy.RealmOf(ann.Org())
	key := &tenancy.APIKey{ID: tenancy.NewKeyID(time.Now(), [10]byte{99}), Org: ann.Org(), User: ann.User(), Name: "k", Role: tenancy.OrgMember}
	q := page.Query{Limit: 20, After: ann.Org().String()}
	who := page.Query{Limit: 20, After: ann.User().String(), Desc: true}
	_, orgs := d.Orgs(ctx, tenancy.OrgFilter{}, q)
	_, titled := d.Orgs(ctx, tenancy.OrgFilter{Text: "t77", Status: tenancy.Active}, page.Query{Limit: 20})
	_, closed := d.Orgs(ctx, tenancy.OrgFilter{Status: tenancy.Closed}, q)
	_, users := d.Users(ctx, tenancy.UserFilter{}, who)
	_, platform := d.Users(ctx, tenancy.UserFilter{Platform: true}, page.Query{Limit: 20})
	_, named := d.Users(ctx, tenancy.UserFilter{Text: "s777"}, page.Query{Limit: 20})
	_, out := d.Users(ctx, tenancy.UserFilter{Status: tenancy.Suspended}, page.Query{Limit: 20})
	_, members := d.Members(ctx, in, tenancy.MemberFilter{}, who)
	_, found := d.Members(ctx, in, tenancy.MemberFilter{
		Roles: []tenancy.Role{tenancy.OrgMember}, Status: tenancy.Active, Text: "x", Emails: []string{"a@b"}, Users: []tenancy.UserID{ann.User()},
	}, page.Query{Limit: 20})
	_, theirs := d.Keys(ctx, in, tenancy.KeyFilter{Owner: ann.User(), Roles: []tenancy.Role{tenancy.OrgMember}, Kept: true}, page.Query{Limit: 20})
	_, all := d.Keys(ctx, in, tenancy.KeyFilter{}, page.Query{Limit: 20, After: key.ID.String()})
	at := time.Now()
	i := &tenancy.Invitation{
		ID: tenancy.NewInvitationID(at, [10]byte{99}), Org: ann.Org(), Email: "a@example.com", Role: tenancy.OrgMember, By: ann.User(), Status: tenancy.Pending,
		Expires: at.Add(time.Hour), Created: at, Updated: at,
	}
	made := d.CreateInvitation(ctx, in, i)
	_, pending := d.Invitations(ctx, in, tenancy.InvitationFilter{Email: i.Email, Status: []tenancy.InvitationStatus{tenancy.Pending}, At: at}, page.Query{Limit: 1})
	_, any := d.Invitations(ctx, in, tenancy.InvitationFilter{}, page.Query{Limit: 20})
	for _, err := range []error{
		orgs, titled, closed, users, platform, named, out, members, found, theirs, all, made, pending, any, d.CreateKey(ctx, in, key),
		d.UpdateInvitation(ctx, in, i.ID, func(*tenancy.Invitation) error { return nil }),
		d.UpdateOrg(ctx, ann.Org(), func(*tenancy.Org) error { return nil }),
		d.UpdateUser(ctx, ann.User(), func(*tenancy.User, int) error { return nil }),
		d.UpdateMember(ctx, in, ann.User(), func(*tenancy.Member) error { return nil }),
		d.UpdateKey(ctx, in, key.ID, func(*tenancy.APIKey) error { return nil }),
		d.TouchKey(ctx, in, key.ID, time.Now()),
		d.RemoveMember(ctx, in, ann.User()),
	} {
		if err != nil {
			t.Error(err)
		}
	}
}

// funded asks for all that there is to ask of budgets.
func funded(t *testing.T, s *Store) {
	t.Helper()
	at, in, b := time.Now(), tenancy.RealmOf(ann.Org()), s.Budgets()
	one := &budget.Budget{ID: budget.NewID(at, [10]byte{9}), Org: ann.Org(), Period: budget.Day, Limit: 100, Created: at, Updated: at}
	hold := budget.Reservation{ID: budget.NewReservationID(at, [10]byte{9}), Amount: 1, At: at, Expires: at.Add(time.Minute)}
	made := b.Create(t.Context(), in, one)
	reserved := b.Reserve(t.Context(), ann, hold)
	_, all := b.List(t.Context(), in, at, page.Query{Limit: 20})
	_, bounding := b.Bounding(t.Context(), ann, tenancy.KeyID{7}, at)
	_, any := b.Any(t.Context(), in)
	changed := b.Update(t.Context(), in, one.ID, func(*budget.Budget) error { return nil })
	if err := errors.Join(made, reserved, all, bounding, any, changed, b.Release(t.Context(), ann, hold.ID), b.Delete(t.Context(), in, one.ID)); err != nil {
		t.Fatal(err)
	}
}

package postgres

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"agentapi/test/kit"
	server "agentapi/test/postgres"
)

// before is the step before those that servers of two releases run beside.
const before = 15

// What a server of that release does, beside what a load of sessions does, in every
// table that a later step is about.
const asBefore = `BEGIN; SELECT set_config('agentapi.org_id', md5('org' || %[1]d)::uuid::text, true);
	INSERT INTO agentapi.orgs (id, issuer, name, title, status, version) VALUES (md5('org' || %[1]d)::uuid, 'i', 'o%[1]d', 't', 'active', 1);
	INSERT INTO agentapi.users (id, issuer, subject, platform, status, version) VALUES (md5('user' || %[1]d)::uuid, 'i', 's%[1]d', '', 'active', 1);
	SELECT name, status, version FROM agentapi.orgs WHERE id = md5('org' || %[1]d)::uuid;
	INSERT INTO agentapi.memberships (org_id, user_id, role, status, version) VALUES (md5('org' || %[1]d)::uuid, md5('user' || %[1]d)::uuid, 'org_member', 'active', 1);
	INSERT INTO agentapi.usage (org_id, id, user_id, request, session_id, agent, model, prompt_tokens, completion_tokens, details, outcome)
	VALUES (md5('org' || %[1]d)::uuid, gen_random_uuid(), md5('user')::uuid, 'r', md5('s')::uuid, 'a', 'm', 1, 2, '{}', 'completed');
	SELECT sum(prompt_tokens) FROM agentapi.usage WHERE org_id = md5('org' || %[1]d)::uuid;
	COMMIT`

// Servers of the release before write while all steps since then are applied, on many
// records of usage: none fails, and none waits for longer than a step may.
func TestServersOfTheReleaseBeforeWriteWhileTheSchemaIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	o := migrated(t, d)
	s := start(t, o) // the schema is looked at when it starts only
	m, err := migrate(t, o)
	if err != nil {
		t.Fatal(err)
	}
	for {
		steps, err := m.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for _, step := range steps {
			if !step.Applied.IsZero() {
				last = step.Version
			}
		}
		if last <= before {
			break
		}
		if _, err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rows := kit.Size(100_000, 100_000, 500_000)
	d.Server.Admin(t, d.Name, fmt.Sprintf(`INSERT INTO agentapi.usage (org_id, id, user_id, request, session_id, agent, model, prompt_tokens, completion_tokens, details, outcome)
		SELECT md5('org' || n %% 20)::uuid, (left(agentapi.usage_bound(now())::text, 14) || right(md5('usage' || n)::uuid::text, 22))::uuid, md5('user')::uuid, 'r', md5('s')::uuid, 'a', 'm', 1, 2, '{}', 'completed' FROM generate_series(1, %d) n`, rows))
	l := under(s, 4)
	db := login(t, o.URL)
	ctx, stop := context.WithCancel(t.Context())
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		wrote  int
		longer time.Duration
	)
	for c := range 4 {
		all.Go(func() {
			for n := c + 100; ctx.Err() == nil; n += 4 {
				begun := time.Now()
				_, err := db.ExecContext(context.Background(), fmt.Sprintf(asBefore, n))
				mu.Lock()
				if wrote++; err != nil {
					t.Errorf("while steps are applied: %v", err)
				}
				longer = max(longer, time.Since(begun))
				mu.Unlock()
			}
		})
	}
	l.again(t, 5*time.Second)
	time.Sleep(200 * time.Millisecond) // of load alone
	applied := 0
	err = m.Up(t.Context(), func(what string) { applied++; t.Log(what) })
	if err != nil {
		t.Error(err)
	}
	l.again(t, 5*time.Second)
	stop()
	all.Wait()
	l.end(t)
	if longer > 2*time.Second || applied == 0 {
		t.Errorf("a writer waited %v while %d steps were applied", longer, applied)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("RELIABILITY R13 %d steps applied on %d records under the load of the release before: %d and %d transactions, the longest %v and %v; 0 failed", applied, rows, wrote, l.count(), longer.Round(time.Millisecond), l.slow.Round(time.Millisecond))
}

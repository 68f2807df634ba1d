package porttest

import (
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// dissolves wants nothing left of an organisation but its members, of others all.
func dissolves(t *testing.T, s ports.Storage) {
	ann, acme := enrolled(t, s, "a", "ann")
	left := someone(t, "a", "left") // was a member once
	eve, evil := enrolled(t, s, "b", "eve")
	d, ctx := s.Directory(), t.Context()
	claim := idempotency.Claim{Key: idempotency.NewKey("r", "k"), Owner: "o", At: start, Until: start.Add(time.Hour)}
	lives := func(user string, home tenancy.OrgID) tenancy.UserID {
		id := named[tenancy.UserID](user)
		must(t, d.Enrol(ctx, tenancy.Standing{User: &tenancy.User{ID: id, Issuer: "i", Subject: user, Home: home, Status: tenancy.Active, Version: 1, Created: moment, Updated: moment}}))
		return id
	}
	nobody, guest, admin := lives("nobody", acme.Org()), lives("guest", acme.Org()), lives("admin", acme.Org())
	must(t, d.UpdateUser(ctx, admin, func(u *tenancy.User, _ int) error {
		u.Platform = tenancy.PlatformAuditor
		return nil
	}))
	must(t, d.Enrol(ctx, tenancy.Standing{Member: &tenancy.Member{Org: evil.Org(), User: guest, Role: tenancy.OrgMember, Status: tenancy.Active, Version: 1, Created: moment, Updated: moment}}))
	done := make(map[tenancy.Realm]*job.Job)
	for i, in := range []tenancy.Scope{ann, left, eve} {
		realm := tenancy.RealmOf(in.Org())
		aged(t, s, in, 1, 2, 3)
		_, err := s.Idempotency().Claim(ctx, in, claim)
		must(t, err)
		subject, err := s.Audit().Subject(ctx, in, audit.NewSubject(moment, [42]byte{byte(i)}))
		must(t, err)
		entry, err := audit.New(audit.Fields{
			ID: audit.NewID(moment, entropy()), Org: in.Org(), Actor: subject.ID.String(), Action: audit.ChatCompleted, Outcome: audit.OK, Instance: "i", At: moment,
			Subject: subject, Personal: map[string]string{"ip": "192.0.2.1"},
		})
		must(t, err)
		must(t, s.Audit().Append(ctx, entry))
		if in == left {
			continue
		}
		must(t, d.CreateInvitation(ctx, realm, newInvitation(in, "carol@example.com")))
		must(t, s.Roster().AddGroup(ctx, realm, group(t, in, "Builders")))
		j := newJob(realm, start)
		must(t, s.Jobs().Create(ctx, realm, j))
		must(t, s.Jobs().Update(ctx, realm, j.ID, func(j *job.Job) error {
			j.State, j.Finished = job.Failed, start
			return nil
		}))
		done[realm] = j
	}
	open, gone := newJob(acme, start.Add(time.Second)), newJob(acme, start.Add(2*time.Second))
	gone.Kind = job.EraseOrg
	must(t, s.Jobs().Create(ctx, acme, open))
	must(t, s.Jobs().Create(ctx, acme, gone))
	must(t, s.Jobs().Update(ctx, acme, gone.ID, func(j *job.Job) error {
		j.State, j.Finished = job.Succeeded, start
		return nil
	}))

	_, err := s.Upkeep().Dissolve(ctx, tenancy.Realm{}, 2)
	is(t, err, fault.Forbidden, "")
	for calls := 0; ; calls++ {
		n, err := s.Upkeep().Dissolve(ctx, acme, 2)
		if must(t, err); n == 0 {
			break
		}
		if calls > 9 {
			t.Fatalf("it does not come to an end: %d rows more", n)
		}
	}
	// has counts what an organisation has.
	has := func(realm tenancy.Realm, users ...tenancy.Scope) (n int) {
		t.Helper()
		for _, in := range users {
			c := counts(t, s, in)
			values, err := s.Audit().Values(ctx, in)
			must(t, err)
			n += c[0] + c[1] + len(values)
		}
		i, err := d.Invitations(ctx, realm, tenancy.InvitationFilter{}, page.Query{Limit: 10})
		must(t, err)
		_, groups, err := s.Roster().Groups(ctx, realm, roster.GroupFilter{}, 0, 10)
		must(t, err)
		return n + len(i.Items) + groups
	}
	if got := has(acme, ann, left); got != 0 {
		t.Errorf("%d rows are left", got)
	}
	if got := has(evil, eve); got != 3+3+1+1+1 {
		t.Errorf("another organisation has %d rows left", got)
	}
	if out, err := s.Idempotency().Claim(ctx, left, claim); err != nil || !out.Claimed {
		t.Errorf("a key is there: %+v, %v", out, err)
	}
	_, err = s.Idempotency().Claim(ctx, eve, claim)
	is(t, err, fault.Conflict, "idempotency_in_progress")
	_, err = s.Jobs().Job(ctx, acme, done[acme].ID)
	is(t, err, fault.NotFound, "job_not_found")
	for j, in := range map[*job.Job]tenancy.Realm{open: acme, gone: acme, done[evil]: evil} {
		_, err := s.Jobs().Job(ctx, in, j.ID)
		must(t, err)
	}
	for in, want := range map[tenancy.Scope]bool{ann: true, eve: true} {
		if known, err := d.Standing(ctx, in.Org(), in.User()); err != nil || known.Org == nil || (known.Member != nil) != want {
			t.Errorf("of a member is known %+v, %v", known, err)
		}
	}
	for user, want := range map[tenancy.UserID]bool{nobody: false, guest: true, admin: true} {
		known, err := d.Standing(ctx, evil.Org(), user)
		if must(t, err); (known.User != nil) != want || want && !known.User.Home.IsZero() {
			t.Errorf("a user who acted there is %+v", known.User)
		}
	}
}

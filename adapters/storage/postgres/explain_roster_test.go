package postgres

import (
	"testing"
	"time"

	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
)

// provisioned asks the roster for all that there is to ask.
func provisioned(t *testing.T, s *Store) {
	t.Helper()
	r, ctx, in, at := s.Roster(), t.Context(), tenancy.RealmOf(ann.Org()), time.Now()
	name, active, user := "n7", true, ann.User()
	p := &roster.Person{Org: ann.Org(), User: user, External: "e", UserName: "ann", Email: "ann@example.com", Created: at, Updated: at}
	g := &roster.Group{Org: ann.Org(), ID: roster.NewGroupID(at, [10]byte{1}), Name: "Admins", Created: at, Updated: at}
	for _, err := range []error{
		r.AddPerson(ctx, in, p), r.AddGroup(ctx, in, g), r.Enlist(ctx, in, g.ID, []tenancy.UserID{user}, nil),
		r.UpdatePerson(ctx, in, user, func(*roster.Person) error { return nil }),
		r.UpdateGroup(ctx, in, g.ID, func(*roster.Group) error { return nil }),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, f := range []roster.Filter{{}, {UserName: &name}, {External: &name}, {Email: &name}, {User: &user}, {Active: &active, UserName: &name}} {
		if _, _, err := r.People(ctx, in, f, 0, 200); err != nil {
			t.Error(err)
		}
	}
	for _, f := range []roster.GroupFilter{{}, {Name: &name}, {External: &name}, {Member: &user}, {ID: &g.ID}} {
		if _, _, err := r.Groups(ctx, in, f, 0, 200); err != nil {
			t.Error(err)
		}
	}
	_, enlisted := r.Enlisted(ctx, in, g.ID)
	_, belongs := r.Belongs(ctx, in, user)
	_, owners := r.Owners(ctx, in)
	for _, err := range []error{enlisted, belongs, owners, r.Enlist(ctx, in, g.ID, nil, []tenancy.UserID{user}), r.RemoveGroup(ctx, in, g.ID)} {
		if err != nil {
			t.Error(err)
		}
	}
}

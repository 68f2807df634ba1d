package postgres

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/adapters/storage/sqlite"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// copiedTwice copies a conversation of ann's, usage and a result into s, and once
// more, so that there is something to go on from.
func copiedTwice(t *testing.T, s *Store) {
	t.Helper()
	from, err := sqlite.Open(sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if err == nil {
		err = from.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Stop(context.Background()) }()
	at := time.Now()
	v := session.New(session.NewID(at, [10]byte{21}), ann, session.Key{}, at)
	turn := session.Turn{ID: session.NewTurnID(at, [10]byte{22}), Message: chat.NewMessage(chat.User, "x"), Created: at}
	c := idempotency.Claim{Key: idempotency.NewKey("r", "copied"), Owner: "o", At: at, Until: at}
	one := standing(ann)
	key := &tenancy.APIKey{ID: tenancy.NewKeyID(at, [10]byte{24}), Org: ann.Org(), User: ann.User(), Name: "k", Role: tenancy.OrgMember, Created: at, Updated: at}
	steps := []func() error{
		func() error { return from.Directory().Enrol(t.Context(), one) },
		func() error { return from.Directory().CreateKey(t.Context(), tenancy.RealmOf(ann.Org()), key) },
		func() error { return from.Sessions().Create(t.Context(), ann, v) },
		func() error { return from.Sessions().Append(t.Context(), ann, v.ID, 0, turn) },
		func() error {
			return from.Usage().Record(t.Context(), ann, usage.Record{ID: usage.NewID(at, [10]byte{23}), At: at})
		},
		func() error {
			_, err := from.Idempotency().Claim(t.Context(), ann, c)
			return err
		},
		func() error {
			return from.Idempotency().Complete(t.Context(), ann, c, idempotency.Result{Completed: at})
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if found, err := bunstore.Copy(t.Context(), from.Reads, s.Bulk, func(bunstore.Progress) {}); err != nil || len(found) != 6 {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	if got, err := s.Directory().FindKey(t.Context(), key.ID); err != nil || got.Name != "k" {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := s.Directory().Standing(t.Context(), ann.Org(), ann.User()); err != nil || got.Org == nil || got.User == nil || got.Member == nil {
		t.Fatalf("%+v, %v", got, err)
	}
}

func standing(in tenancy.Scope) tenancy.Standing {
	return tenancy.Standing{
		Org:    &tenancy.Org{ID: in.Org(), Issuer: "i", Name: "o", Title: "o", Status: tenancy.Active, Version: 1},
		User:   &tenancy.User{ID: in.User(), Issuer: "i", Subject: "s", Status: tenancy.Active, Version: 1},
		Member: &tenancy.Member{Org: in.Org(), User: in.User(), Role: tenancy.OrgMember, Status: tenancy.Active, Version: 1},
	}
}

// A target that has as much of its own, and no row of the source's, is not what an
// earlier copy has left.
func TestAsMuchIsNotTheSame(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	from, err := sqlite.Open(sqlite.Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if err == nil {
		err = from.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Stop(context.Background()) }()
	at := time.Now()
	mine, theirs := session.New(session.NewID(at, [10]byte{1}), ann, session.Key{}, at), session.New(session.NewID(at.Add(time.Second), [10]byte{2}), ann, session.Key{}, at)
	turn := session.Turn{ID: session.NewTurnID(at, [10]byte{3}), Message: chat.NewMessage(chat.User, "x"), Created: at}
	if err := from.Sessions().Create(t.Context(), ann, mine, turn); err != nil {
		t.Fatal(err)
	}
	if err := s.Sessions().Create(t.Context(), ann, theirs, turn); err != nil {
		t.Fatal(err)
	}
	found, err := bunstore.Copy(t.Context(), from.Reads, s.Bulk, func(bunstore.Progress) {})
	if err != nil || len(found) != 2 || found[0].Added != 1 || found[0].Same || found[1].Added != 1 {
		t.Errorf("got %+v, %v", found, err)
	}
	if _, err := s.Sessions().Get(t.Context(), ann, mine.ID); err != nil {
		t.Error(err)
	}
}

func TestRowLevelSecurityBindsWhatWritesInBulk(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	v := furnished(t, s)
	err := s.Bulk(t.Context(), func(ctx context.Context, r *bunstore.Repositories) error {
		if _, err := r.Sessions().Get(ctx, ann, v.ID); err != nil {
			return err
		}
		_, err := r.Sessions().Get(ctx, eve, v.ID)
		return err
	})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	// No tenant is named, and so there is nothing to copy from here.
	if found, err := bunstore.Copy(t.Context(), s.Bulk, s.Bulk, func(bunstore.Progress) {}); err != nil || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	mine := fault.Internalf("mine")
	if err := s.Bulk(t.Context(), func(context.Context, *bunstore.Repositories) error { return mine }); err != mine {
		t.Errorf("got %v", err)
	}
}

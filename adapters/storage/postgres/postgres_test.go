package postgres

import (
	"context"
	"testing"
	"time"

	"agentapi/domain/id"
	"agentapi/domain/tenancy"
	"agentapi/ports"
	"agentapi/ports/porttest"
	server "agentapi/test/postgres"
)

func TestMain(m *testing.M) { server.Main(m) }

// migrated brings a fresh database up to date and gives options for it.
func migrated(t testing.TB, d *server.Database) Options {
	t.Helper()
	o := Options{URL: d.App, DirectURL: d.Owner}
	o.SetDefaults()
	o.Timeout = 20 * time.Second // of a machine that does much else meanwhile
	m, err := Migrate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Up(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	return o
}

func start(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func fresh(t *testing.T) *Store {
	t.Helper()
	return start(t, migrated(t, server.Shared(t).Fresh(t)))
}

func scope(org, user string) tenancy.Scope {
	p, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, org), named(tenancy.UserID{}, user))
	if err != nil {
		panic(err)
	}
	return p.Scope()
}

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

func TestTheStoreKeepsThePortsContract(t *testing.T) {
	t.Run("directly", func(t *testing.T) {
		open := func(t *testing.T) ports.Storage { return fresh(t) }
		porttest.Storage(t, open)
		porttest.StorageConcurrency(t, open)
	})
	t.Run("behind PgBouncer in transaction mode", func(t *testing.T) {
		pooler := server.Shared(t).Pooled(t)
		open := func(t *testing.T) ports.Storage {
			d := server.Shared(t).Fresh(t)
			o := migrated(t, d)
			o.URL = d.At(o.URL, pooler.Addr)
			return start(t, o)
		}
		porttest.Storage(t, open)
		porttest.StorageConcurrency(t, open)
	})
}

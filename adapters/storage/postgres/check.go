package postgres

import (
	"context"
	"fmt"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/fault"
	"agentapi/migrations"
)

// tenantTables are those whose rows belong to an organisation.
const tenantTables = "'chat_sessions', 'chat_messages', 'usage', 'idempotency', 'memberships', 'api_keys', 'invitations', 'jobs', 'budgets', 'budget_windows', 'budget_charges', 'budget_holds', 'scim_users', 'scim_groups', 'scim_members', 'audit', 'audit_subjects', 'audit_values', 'audit_places'"

// ownersPolicies are the names of the policies that migrations make for the tables' owner.
const ownersPolicies = "'census', 'expired_drop', 'expired_lock', 'expired_see', 'find', 'forget', 'forget_see', 'open_drop', 'open_see', 'upkeep', 'upkeep_lock', 'upkeep_see'"

// strangers are those of them that are for a role that is not the owner of their table: as
// it was where a backup was made, perhaps. What the owner looks up for the server, such as
// API keys, is not found then. Policies that somebody else made for a role are left alone.
func strangers(schema string) string {
	return fmt.Sprintf("FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace "+
		"WHERE n.nspname = '%s' AND p.polname IN (%s) AND NOT (0 = ANY (p.polroles) OR c.relowner = ANY (p.polroles))", schema, ownersPolicies)
}

// oldest is the first version of PostgreSQL that has what is used here.
const oldest = 140000

// facts are what the server says of itself and of who has logged in.
type facts struct {
	role                string
	super, bypass, owns bool // over the tables
	version             int
	fsync, synchronous  string
	standby             bool
	mayUse              bool // the schema
	unprotected         int  // tenant tables without forced row-level security
	strangers           int  // policies for a role that is not the owner
}

// Probe tells whether Start would succeed, without starting anything.
func (s *Store) Probe(ctx context.Context) error {
	reads, err := newPool(&s.o, 1)
	if err != nil {
		return badURL()
	}
	s.mu.Lock()
	s.reads = reads
	s.mu.Unlock()
	defer s.close()
	return s.check(ctx)
}

// check refuses what would not keep the promises.
func (s *Store) check(ctx context.Context) error {
	var f facts
	err := s.ask(ctx, func(ctx context.Context, w *wire) error {
		err := w.QueryRowContext(ctx, fmt.Sprintf(`
			SELECT current_user, r.rolsuper, r.rolbypassrls, current_setting('server_version_num')::int,
				current_setting('fsync'), current_setting('synchronous_commit'),
				pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',
				coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = '%[1]s'), false),
				EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
					WHERE n.nspname = '%[1]s' AND c.relname IN (%[2]s) AND pg_has_role(c.relowner, 'MEMBER')),
				(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
					WHERE n.nspname = '%[1]s' AND (c.relname IN (%[2]s) OR c.relispartition AND c.relkind = 'r') AND NOT (c.relrowsecurity AND c.relforcerowsecurity)),
				(SELECT count(*) %[3]s)
			FROM pg_roles r WHERE r.rolname = current_user`, s.o.Schema, tenantTables, strangers(s.o.Schema))).
			Scan(&f.role, &f.super, &f.bypass, &f.version, &f.fsync, &f.synchronous, &f.standby, &f.mayUse, &f.owns, &f.unprotected, &f.strangers)
		if err != nil {
			return err
		}
		if err := f.refuse(&s.o); err != nil {
			return err
		}
		return migrations.Check(ctx, w, migrations.Postgres)
	})
	if err != nil && ctx.Err() == nil {
		return diagnose(err, account{url: s.o.URL, named: s.o.named()})
	}
	return bunstore.Failed(ctx, err)
}

// refuse says what is wrong, and what to do, or gives nil.
func (f *facts) refuse(o *Options) error {
	no := func(hint, format string, args ...any) error {
		return fault.New(fault.Unavailable, format, args...).WithCode("storage_unavailable").WithHint(hint)
	}
	const own = "Log in as a role of the server's own: name it in DATABASE_URL, and the tables' owner in DIRECT_URL, and run: agentapi migrate up"
	switch {
	case f.super:
		return no(own, "The database role %s is a superuser, whom row-level security does not bind.", f.role)
	case f.bypass:
		return no(own, "The database role %s bypasses row-level security.", f.role)
	case f.owns:
		return no(own, "The database role %s owns the tables, and could take their row-level security away.", f.role)
	case f.version < oldest:
		return no("Use PostgreSQL 14 or later.", "The server is PostgreSQL %d.", f.version/10000)
	case f.standby:
		return no("Name the primary in DATABASE_URL.", "The database takes no writes: it is a standby, or default_transaction_read_only is on.")
	case !o.AllowLoss && f.fsync == "off":
		return no("Turn fsync on, or say that you do not mind with storage.postgres.allow_loss: true", "The server has fsync off: it loses what it has acknowledged when it falls.")
	case !o.AllowLoss && f.synchronous == "off":
		return no("Turn synchronous_commit on, or say that you do not mind with storage.postgres.allow_loss: true", "The server has synchronous_commit off: it loses what it has acknowledged when it falls.")
	case !f.mayUse:
		return no("Run, with DIRECT_URL for the owner: agentapi migrate up", "The database has no schema %s that the role %s may use.", o.Schema, f.role)
	case f.unprotected > 0:
		return no("Run, with DIRECT_URL for the owner: agentapi migrate up", "%d of the tables are without forced row-level security.", f.unprotected)
	case f.strangers > 0:
		return no("Run, with DIRECT_URL for the owner: agentapi migrate up", "%d of the policies name a role that does not own the tables, as after a restore under another owner: no API key would be found.", f.strangers)
	default:
		return nil
	}
}

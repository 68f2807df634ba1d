package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"agentapi/domain/fault"
	"agentapi/migrations"
)

// Migrator brings a database's schema to the version of this build, as the
// tables' owner. It is no part of serving.
type Migrator struct {
	o      Options
	owner  account
	db     *sql.DB
	server *pgx.ConnConfig // how the server itself logs in
}

// Migrate connects as the owner, whose address is direct_url, or url if there is
// no other.
func Migrate(ctx context.Context, o Options) (*Migrator, error) {
	named := "DIRECT_URL"
	if o.DirectURL == "" {
		o.DirectURL, named = o.URL, o.named()
	}
	if o.URL == "" {
		o.URL = o.DirectURL
	}
	if pooled(o.DirectURL) {
		return nil, fault.New(fault.Unavailable, "Migrations cannot go through a transaction pooler.").WithCode("storage_unavailable").
			WithHint("Set DIRECT_URL to the database's own address, or to that of a session pooler (port 5432).")
	}
	if err := o.resolve(); err != nil {
		return nil, err
	}
	m := &Migrator{o: o, owner: account{url: o.DirectURL, named: named, owner: true}}
	c, err := pgx.ParseConfig(o.DirectURL)
	if err != nil {
		return nil, badURL()
	}
	if m.server, err = pgx.ParseConfig(o.URL); err != nil {
		return nil, badURL()
	}
	m.db = stdlib.OpenDB(*c, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		// pg_temp last, so that nothing in it stands in for what is meant.
		_, err := conn.Exec(ctx, fmt.Sprintf("SET search_path = %s, pg_temp", o.Schema))
		return err
	}))
	if err := m.db.PingContext(ctx); err != nil {
		_ = m.db.Close()
		return nil, diagnose(err, m.owner)
	}
	return m, nil
}

// Close lets go of the database.
func (m *Migrator) Close() { _ = m.db.Close() }

// Up makes the schema, brings it up to date, and gives the server's own role what
// it needs, making it if it is not there. It tells of each thing that it does.
func (m *Migrator) Up(ctx context.Context, tell func(string)) error {
	if err := m.alone(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+m.o.Schema)
		return err
	}); err != nil {
		return err
	}
	steps, err := migrations.Up(ctx, m.db, migrations.Postgres)
	if err != nil {
		return diagnose(err, m.owner)
	}
	for _, s := range steps {
		tell(fmt.Sprintf("applied %s (%d ms)", s.Name, s.Took.Milliseconds()))
	}
	return m.alone(ctx, func(tx *sql.Tx) error {
		if err := m.adopt(ctx, tx, tell); err != nil {
			return err
		}
		return m.admit(ctx, tx, tell)
	})
}

// adopt has the policies that are for the tables' owner be for the one that they have
// now: a backup that was restored under another owner names the one before.
func (m *Migrator) adopt(ctx context.Context, tx *sql.Tx, tell func(string)) error {
	if _, err := tx.ExecContext(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("SELECT format('ALTER POLICY %%I ON %%I.%%I TO %%I', p.polname, n.nspname, c.relname, pg_get_userbyid(c.relowner)) %s", strangers(m.o.Schema)))
	if err != nil {
		return err
	}
	defer rows.Close()
	var changes []string
	for rows.Next() {
		var change string
		if err := rows.Scan(&change); err != nil {
			return err
		}
		changes = append(changes, change)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, change := range changes {
		if _, err := tx.ExecContext(ctx, change); err != nil {
			return err
		}
	}
	if len(changes) > 0 {
		tell(fmt.Sprintf("gave %d policies to the tables' owner, that named another role", len(changes)))
	}
	return nil
}

// alone runs fn in a transaction while no other migrator is in one.
func (m *Migrator) alone(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return diagnose(err, m.owner)
	}
	defer func() { _ = tx.Rollback() }() // nothing, after a commit
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('agentapi migrate'))"); err != nil {
		return diagnose(err, m.owner)
	}
	if err := fn(tx); err != nil {
		return diagnose(err, m.owner)
	}
	if err := tx.Commit(); err != nil {
		return diagnose(err, m.owner)
	}
	return nil
}

// admit gives the server's role its rights, and no others.
func (m *Migrator) admit(ctx context.Context, tx *sql.Tx, tell func(string)) error {
	owner, err := pgx.ParseConfig(m.owner.url)
	if err != nil {
		return badURL()
	}
	name, _, _ := strings.Cut(m.server.User, ".") // a pooler's user is role.project
	if own, _, _ := strings.Cut(owner.User, "."); own == name {
		tell("note: the server logs in as the owner of the tables, which it refuses to; name a role of its own in DATABASE_URL, and this one in DIRECT_URL")
		return nil
	}
	var there bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name).Scan(&there); err != nil {
		return err
	}
	quoted := pgx.Identifier{name}.Sanitize()
	switch {
	case !there:
		_, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE", quoted, verifier(m.server.Password)))
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "The server's role %s is not there, and %s may not create it.", name, owner.User).
				WithCode("storage_unavailable").WithHint("As somebody who may, run: CREATE ROLE " + quoted + " LOGIN PASSWORD '…'; then again: agentapi migrate up")
		}
		tell("created the role " + name)
	case m.o.Supabase.URL != "": // its password follows the database's
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", quoted, verifier(m.server.Password))); err != nil {
			return err
		}
	}
	for _, grant := range grants(m.o.Schema, quoted) {
		if _, err := tx.ExecContext(ctx, grant); err != nil {
			return err
		}
	}
	return nil
}

// verifier is what a server keeps of a password, so that the password itself
// stands in no statement, which servers log.
func verifier(password string) string {
	const rounds = 4096
	var salt [16]byte
	rand.Read(salt[:])
	salted, err := pbkdf2.Key(sha256.New, password, salt[:], rounds, sha256.Size)
	if err != nil {
		return "" // a role that nobody can log in as; the parameters are right
	}
	sign := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign(salted, "Client Key"))
	base := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, base(salt[:]), base(stored[:]), base(sign(salted, "Server Key")))
}

// grants are the rights of the server's role.
func grants(schema, role string) []string {
	return []string{
		"GRANT USAGE ON SCHEMA " + schema + " TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON chat_sessions, chat_messages, usage, idempotency, instances, leases, agents, models, agent_health, agent_health_changes, agent_switches, orgs, users, memberships, api_keys, invitations, jobs, budgets, budget_windows, budget_charges, budget_holds, scim_users, scim_groups, scim_members TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON audit_subjects, audit_values TO " + role,
		"GRANT SELECT, INSERT ON audit_checkpoints TO " + role,
		"GRANT SELECT ON audit, audit_retired, audit_places TO " + role,
		"GRANT SELECT ON goose_db_version, schema_serves TO " + role,
		"GRANT EXECUTE ON FUNCTION forget_idempotency, expire_sessions, expire_usage, expiring, make_usage_months, drop_usage_month, find_api_key, find_invitation, open_jobs, drop_jobs, drop_holds, audit_append, audit_retire, census, consumed TO " + role,
	}
}

// Down takes the last step back, with what it stored; nil: there is none.
func (m *Migrator) Down(ctx context.Context) (*migrations.Step, error) {
	s, err := migrations.Down(ctx, m.db, migrations.Postgres)
	if err != nil {
		return nil, diagnose(err, m.owner)
	}
	return s, nil
}

// Status gives all steps that this build knows.
func (m *Migrator) Status(ctx context.Context) ([]migrations.Step, error) {
	var there bool
	if err := m.db.QueryRowContext(ctx, "SELECT to_regnamespace($1) IS NOT NULL", m.o.Schema).Scan(&there); err != nil {
		return nil, diagnose(err, m.owner)
	}
	if !there {
		return nil, fault.New(fault.Unavailable, "The database has no schema %s.", m.o.Schema).WithCode("storage_unavailable").WithHint("Run: agentapi migrate up")
	}
	steps, err := migrations.Status(ctx, m.db, migrations.Postgres)
	if err != nil {
		return nil, diagnose(err, m.owner)
	}
	return steps, nil
}

// SQL is what Up does, for those who run it by hand. The role is the server's.
func SQL(o Options) (string, error) {
	steps, err := migrations.SQL(migrations.Postgres)
	if err != nil {
		return "", err
	}
	name := role
	if o.URL != "" {
		c, err := pgx.ParseConfig(o.URL)
		if err != nil {
			return "", badURL()
		}
		name, _, _ = strings.Cut(c.User, ".")
	}
	quoted := pgx.Identifier{name}.Sanitize()
	var b strings.Builder
	fmt.Fprintf(&b, "-- For a database of which nothing is there yet; run it as the role that shall own the tables.\nCREATE SCHEMA IF NOT EXISTS %s;\nSET search_path = %s, pg_temp;\n\n%s\n", o.Schema, o.Schema, steps)
	fmt.Fprintf(&b, "-- The server's own role. If it is not there: CREATE ROLE %s LOGIN PASSWORD '…';\n", quoted)
	for _, g := range grants(o.Schema, quoted) {
		b.WriteString(g + ";\n")
	}
	return b.String(), nil
}

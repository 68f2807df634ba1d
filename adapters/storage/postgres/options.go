package postgres

import (
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"time"

	"agentapi/domain/fault"
)

// Options configures a Store.
type Options struct {
	URL       string `yaml:"url" secret:"true" doc:"where the database is, as postgres://user:password@host/database, directly or through a pooler; its user must be neither the tables' owner nor one who bypasses row-level security; DATABASE_URL"`
	DirectURL string `yaml:"direct_url" secret:"true" doc:"the same database for migrations: as the tables' owner, and not through a transaction pooler; DIRECT_URL"`
	Schema    string `yaml:"schema" doc:"the schema that the tables are in; agentapi if absent"`
	MaxConns  int    `yaml:"max_conns" doc:"connections at most; 10 if absent, at least 3"`

	Timeout time.Duration `yaml:"timeout" doc:"how long the database may take to answer before callers are told that it does not; 1.5s if absent"`
	Lease   time.Duration `yaml:"lease" doc:"how long after its last sign of life a server is taken for dead, and what it had claimed is free; 15s if absent"`
	// AllowLoss is the setting for those who do not mind.
	AllowLoss bool `yaml:"allow_loss" doc:"start on a server that loses what it has acknowledged when it falls, since its fsync or synchronous_commit is off"`

	Supabase Supabase `yaml:"supabase" doc:"instead of url and direct_url, for a Supabase project"`

	Instance string `yaml:"-"` // this process, as the owner of idempotency claims; one is made if empty
}

// Supabase says which project is meant.
type Supabase struct {
	URL        string `yaml:"url" doc:"https://PROJECT.supabase.co; SUPABASE_URL"`
	Password   string `yaml:"password" secret:"true" doc:"the database's password, which is not an API key; SUPABASE_DB_PASSWORD"`
	PoolerHost string `yaml:"pooler_host" doc:"the pooler's host name, which has an IPv4 address, unlike the database's own; SUPABASE_POOLER_HOST"`
	Key        string `yaml:"key" secret:"true" doc:"an API key, which opens no database: it is read to say so; SUPABASE_SERVICE_ROLE_KEY"`
}

// SetDefaults fills in what the configuration may leave out.
func (o *Options) SetDefaults() {
	o.Schema, o.MaxConns, o.Timeout, o.Lease = "agentapi", 10, 1500*time.Millisecond, 15*time.Second
}

// Validate checks what types cannot say.
func (o *Options) Validate() error {
	c := *o
	return c.resolve()
}

var identifier = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// resolve checks the options and derives what is given in other words.
func (o *Options) resolve() error {
	if o.Schema == "" && o.MaxConns == 0 && o.Timeout == 0 && o.Lease == 0 {
		o.SetDefaults()
	}
	switch {
	case !identifier.MatchString(o.Schema):
		return fault.Invalidf("schema", "invalid_value", "schema: %q is no plain name of lower-case letters, digits and underscores", o.Schema)
	case o.MaxConns <= writers:
		return fault.Invalidf("max_conns", "invalid_value", "max_conns: must be at least %d", writers+1)
	case o.Timeout < 100*time.Millisecond:
		return fault.Invalidf("timeout", "invalid_value", "timeout: must be at least 100ms")
	case o.Lease < 3*time.Second:
		return fault.Invalidf("lease", "invalid_value", "lease: must be at least 3s")
	}
	if o.Instance == "" {
		var b [8]byte
		rand.Read(b[:])
		o.Instance = hex.EncodeToString(b[:])
	}
	if o.URL == "" && o.Supabase.URL != "" {
		if err := o.Supabase.derive(o); err != nil {
			return err
		}
	}
	if o.URL == "" {
		return fault.Invalidf("url", "missing_required_parameter", "url: the database is not named; set DATABASE_URL")
	}
	o.URL, o.DirectURL = withoutMarker(o.URL), withoutMarker(o.DirectURL)
	return nil
}

// named is the variable that says where the database is.
func (o *Options) named() string {
	switch {
	case o.Supabase.URL == "":
		return "DATABASE_URL"
	case o.Supabase.PoolerHost != "":
		return "SUPABASE_POOLER_HOST"
	default:
		return "SUPABASE_URL"
	}
}

// withoutMarker takes pgbouncer=true out of a URL, which others take as a hint
// and a server as an unknown setting.
func withoutMarker(text string) string {
	u, err := url.Parse(text)
	if err != nil || !u.Query().Has("pgbouncer") {
		return text
	}
	q := u.Query()
	q.Del("pgbouncer")
	u.RawQuery = q.Encode()
	return u.String()
}

// pooled tells whether a URL leads to a transaction pooler, as far as it shows.
func pooled(text string) bool {
	return strings.Contains(text, ":6543/") || strings.Contains(text, "pgbouncer=true")
}

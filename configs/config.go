package configs

import (
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is the whole configuration but for what the drivers read themselves.
type Config struct {
	Version   int              `yaml:"version" doc:"the version of this file's shape: 1"`
	Server    Server           `yaml:"server"`
	Log       Log              `yaml:"log"`
	Storage   Choice           `yaml:"storage" doc:"what keeps conversations, usage and idempotency keys"`
	Cache     Choice           `yaml:"cache" doc:"what holds short-lived things that may be lost"`
	Identity  Identity         `yaml:"identity"`
	Agents    map[string]Agent `yaml:"agents" doc:"what answers, by name: lower-case letters, digits and hyphens"`
	Routing   Routing          `yaml:"routing"`
	Limits    Allowances       `yaml:"limits"`
	Resume    Resume           `yaml:"resume"`
	Compat    Compat           `yaml:"compat"`
	Retention Retention        `yaml:"retention"`
	Billing   Billing          `yaml:"billing"`
	Audit     Audit            `yaml:"audit"`
	Telemetry Telemetry        `yaml:"telemetry"`

	tree *node
}

// Server configures the HTTP server.
type Server struct {
	Addr         string        `yaml:"addr" doc:"where to listen, as host:port; AGENTAPI_PORT and PORT set the port"`
	AllowedHosts []string      `yaml:"allowed_hosts" doc:"host names that are served; others get 421; * for any"`
	MaxBody      int           `yaml:"max_body" doc:"the largest request body, in bytes or as 32MiB"`
	Heartbeat    time.Duration `yaml:"heartbeat" doc:"between comments in a stream that is silent"`
	ReadTimeout  time.Duration `yaml:"read_timeout" doc:"how long a request's head and body may take to arrive"`
	DrainDelay   time.Duration `yaml:"drain_delay" doc:"how long requests are still taken after SIGTERM; 0 is right where no balancer needs to notice"`
	Drain        time.Duration `yaml:"drain" doc:"how long running answers then have to finish"`
	StartTimeout time.Duration `yaml:"start_timeout" doc:"how long the start may take"`
	StopTimeout  time.Duration `yaml:"stop_timeout" doc:"how long the stop may take in all; more than drain_delay and drain"`
}

// Log configures the log.
type Log struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error; LOG_LEVEL"`
	Format string `yaml:"format" doc:"json, console, or auto: console on a terminal"`
}

// Choice names the driver of a port. What the driver reads stands beside, under
// its name.
type Choice struct {
	Driver string `yaml:"driver" doc:"which driver to use"`
}

// minPepper is the shortest pepper that is taken: shorter ones can be guessed.
const minPepper = 16

// Identity configures how callers prove who they are.
type Identity struct {
	Chain          []string        `yaml:"chain" doc:"the drivers that are asked about a credential, in order; if absent oidc where an issuer is named, else dev, and after it apikey"`
	KeyPepper      string          `yaml:"key_pepper" secret:"true" doc:"what API keys are hashed with; servers of one database need the same; at least 16 characters; if absent it is made once and kept in the data folder"`
	Strangers      Strangers       `yaml:"strangers"`
	SCIM           SCIM            `yaml:"scim"`
	PlatformAdmins []PlatformAdmin `yaml:"platform_admins" doc:"who administers the whole deployment, whatever their organisation says of them"`
}

// Strangers configures what becomes of who comes with a good credential and is not
// known here.
type Strangers struct {
	Orgs  string `yaml:"orgs" doc:"enrol or refuse organisations that nobody has made here"`
	Users string `yaml:"users" doc:"enrol or refuse users who are no members of their organisation here"`
}

// SCIM configures what identity providers say of organisations by SCIM.
type SCIM struct {
	Issuer  string            `yaml:"issuer" doc:"the issuer at which those whom a provider names log in; if absent the one that is configured, or dev where only development tokens are taken"`
	Subject string            `yaml:"subject" doc:"externalId or userName: which of a user's attributes is the sub of their tokens"`
	Groups  map[string]string `yaml:"groups" doc:"names of groups, each with the role of its members: org_admin, org_auditor or org_member; of several the highest"`
}

// PlatformAdmin names an administrator of the deployment, never by e-mail.
type PlatformAdmin struct {
	Issuer  string `yaml:"issuer" doc:"the issuer that vouches for the subject; of one with several names the first"`
	Subject string `yaml:"subject" doc:"the sub of the administrator's tokens"`
}

// Routing configures which agents serve which names.
type Routing struct {
	Default []string         `yaml:"default" doc:"the agents that a bare model id is looked for in, in order; empty: all"`
	Aliases map[string]Alias `yaml:"aliases" doc:"names of your own, each with the agent/model that answer to it, in order; or more of how they are chosen among"`
	Retry   Retry            `yaml:"retry"`
}

// Retention configures how long what is stored is kept.
type Retention struct {
	Kept
	AgentHealth time.Duration   `yaml:"agent_health" doc:"how the agents' health changed, such as 14d; 0: for ever"`
	Every       time.Duration   `yaml:"every" doc:"between two looks for what is old; one server at a time has a look"`
	Orgs        map[string]Kept `yaml:"orgs" doc:"organisations with times of their own, which count instead: by id (org_…), or by issuer and name (dev/acme)"`
}

// Kept is how long each kind of data is kept.
type Kept struct {
	Sessions time.Duration `yaml:"sessions" doc:"conversations, since their last change, such as 180d; absent: for ever"`
	Usage    time.Duration `yaml:"usage" doc:"the record of what each request consumed; absent: for ever"`
}

// Audit configures the log of who did what.
type Audit struct {
	Enabled     bool        `yaml:"enabled" doc:"true: what is done is recorded with it, or not done; AUDIT_ENABLED"`
	KeyFile     string      `yaml:"key_file" doc:"the Ed25519 key that signs checkpoints, as PEM, which all servers of a database share; audit-key.pem in the data folder if absent, made at the first start"`
	Checkpoints Checkpoints `yaml:"checkpoints"`
	Retention   Retirement  `yaml:"retention"`
}

// Retirement configures when entries leave the audit log, and for where.
type Retirement struct {
	After  time.Duration `yaml:"after" doc:"entries older than this, such as 400d, are removed once they are exported; absent: all are kept for ever"`
	Folder string        `yaml:"folder" doc:"where the exports of what was removed are kept; needed with after"`
}

// Checkpoints configures what is signed of the audit log.
type Checkpoints struct {
	File  string        `yaml:"file" doc:"where checkpoints are kept beside the storage; best where who runs the database cannot write; audit-checkpoints in the data folder if absent"`
	Every time.Duration `yaml:"every" doc:"between two checkpoints, also where nothing happens"`
}

// Resume configures how a stream goes on whose client has lost its connection.
type Resume struct {
	Window time.Duration `yaml:"window" doc:"how long a stream with an Idempotency-Key runs on when its client is gone; 0: it ends, and its events have no ids"`
}

// Compat configures how strict the server is with clients.
type Compat struct {
	UnsupportedParams string `yaml:"unsupported_params" doc:"report: sampling parameters that an agent cannot honour are named in a header; reject: they are refused"`
	DedupeSDKRetries  bool   `yaml:"dedupe_sdk_retries" doc:"true: what OpenAI's SDKs send again within 10 minutes, without an Idempotency-Key, gets the answer of the attempt before it, unless another like it was sent meanwhile"`
}

// Drivers are the paths under which drivers read their own options, such as
// storage.sqlite. A test of the configuration and its schema need them all.
type Drivers map[string]reflect.Type

// Agents gives the configured agents' names, sorted.
func (c *Config) AgentNames() []string { return slices.Sorted(maps.Keys(c.Agents)) }

// Decode fills into with a driver's own options from path, strictly. Errors name
// the place.
func (c *Config) Decode(path string, into any) error {
	n := c.tree.at(path)
	d := decoder{}
	d.decode(n, path, reflect.ValueOf(into).Elem())
	return d.result()
}

// Has tells whether something is configured at path.
func (c *Config) Has(path string) bool {
	n := c.tree.at(path)
	return n != nil && !n.isNull()
}

// Where tells where the value at path comes from: a file's line, a variable, or "default".
func (c *Config) Where(path string) string {
	for ; path != ""; path = parent(path) {
		if n := c.tree.at(path); n != nil {
			return n.origin
		}
	}
	return c.tree.origin
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	return path[:i]
}

// validate checks what types cannot say.
func (c *Config) validate(d *decoder) {
	bad := func(path, format string, args ...any) {
		d.problems = append(d.problems, &Problem{Where: c.Where(path), Path: path, What: fmt.Sprintf(format, args...)})
	}
	oneOf := func(path, got string, have ...string) {
		if !slices.Contains(have, got) {
			bad(path, "%q is none of %s", got, strings.Join(have, ", "))
		}
	}
	if c.Version != 1 {
		bad("version", "this build reads version 1, not %d", c.Version)
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "auto", "json", "console")
	oneOf("compat.unsupported_params", c.Compat.UnsupportedParams, "report", "reject")
	if _, port, err := net.SplitHostPort(c.Server.Addr); err != nil {
		bad("server.addr", "%q is no host:port, such as 127.0.0.1:3284", c.Server.Addr)
	} else if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		bad("server.addr", "%q is no port: use a number from 0 to 65535", port)
	}
	if c.Server.MaxBody < 1 {
		bad("server.max_body", "must be at least 1")
	}
	if c.Server.DrainDelay+c.Server.Drain >= c.Server.StopTimeout {
		bad("server.stop_timeout", "must be more than drain_delay and drain together, which is %v", c.Server.DrainDelay+c.Server.Drain)
	}
	c.Limits.validate(bad)
	if w := c.Resume.Window; w < 0 || w > time.Hour {
		bad("resume.window", "must be between 0 and 1h")
	}
	c.Telemetry.validate(bad)
	if c.Retention.Every < time.Minute {
		bad("retention.every", "must be at least 1m")
	}
	c.Billing.validate(bad)
	if p := c.Identity.KeyPepper; p != "" && len(p) < minPepper {
		bad("identity.key_pepper", "must have at least %d characters", minPepper)
	}
	for at, what := range map[string]string{"orgs": c.Identity.Strangers.Orgs, "users": c.Identity.Strangers.Users} {
		if what != "enrol" && what != "refuse" {
			bad("identity.strangers."+at, "must be enrol or refuse")
		}
	}
	oneOf("identity.scim.subject", c.Identity.SCIM.Subject, "externalId", "userName")
	for _, name := range slices.Sorted(maps.Keys(c.Identity.SCIM.Groups)) {
		oneOf("identity.scim.groups."+name, c.Identity.SCIM.Groups[name], "org_admin", "org_auditor", "org_member")
	}
	if c.Audit.Checkpoints.Every < time.Second {
		bad("audit.checkpoints.every", "must be at least 1s")
	}
	if c.Audit.Retention.After > 0 && c.Audit.Retention.Folder == "" {
		bad("audit.retention.folder", "is missing: nothing is removed that is not exported there")
	}
	for i, a := range c.Identity.PlatformAdmins {
		if a.Issuer == "" || a.Subject == "" {
			bad(fmt.Sprintf("identity.platform_admins[%d]", i), "needs an issuer and a subject")
		}
	}
	for _, name := range c.AgentNames() {
		if !agentName(name) {
			bad("agents."+name, "an agent's name has lower-case letters, digits and hyphens only")
		}
		if c.Agents[name].Driver == "" {
			bad("agents."+name+".driver", "is missing")
		}
		for i, m := range c.Agents[name].Models {
			if at := fmt.Sprintf("agents.%s.models[%d]", name, i); m.ID == "" {
				bad(at, "has no id")
			} else if m.Context < 0 || m.Output < 0 {
				bad(at, "context and output must be at least 0")
			}
		}
		if h := c.Agents[name].Health; h.Interval < time.Second || h.Timeout <= 0 || h.Failures < 1 || h.Successes < 1 {
			bad("agents."+name+".health", "interval must be at least 1s, timeout more than 0, failures and successes at least 1")
		}
	}
	for i, name := range c.Routing.Default {
		if _, ok := c.Agents[name]; !ok {
			bad(fmt.Sprintf("routing.default[%d]", i), "there is no agent %q%s", name, didYouMean(name, c.AgentNames()))
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(c.Routing.Aliases)) {
		a := c.Routing.Aliases[alias]
		path := "routing.aliases." + alias
		targets := path
		if n := c.tree.at(path); n == nil || n.list == nil {
			targets += "." + a.Shorthand()
		}
		a.validate(path, targets, c.AgentNames(), bad)
	}
	c.Routing.Retry.validate(bad)
}

func agentName(s string) bool {
	for i, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

package configs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
)

// environ is the environment as the configuration sees it.
type environ struct {
	vars    map[string]string
	notices []string
}

func newEnviron(all []string) *environ {
	e := &environ{vars: make(map[string]string)}
	for _, kv := range all {
		name, value, _ := strings.Cut(kv, "=")
		e.vars[name] = value
	}
	return e
}

// value gives a variable, or what is in the file that its _FILE twin names.
func (e *environ) value(name string) string {
	if v := e.vars[name]; v != "" {
		return v
	}
	if file := e.vars[name+"_FILE"]; file != "" {
		if text, err := os.ReadFile(file); err == nil {
			return strings.TrimRight(string(text), "\r\n")
		}
	}
	return ""
}

// resolve gives what a reference in the file stands for.
func (e *environ) resolve(ref string) (string, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	switch kind {
	case "env":
		name, fallback, has := strings.Cut(rest, ":-")
		if v := e.value(name); v != "" {
			return v, nil
		}
		if _, set := e.vars[name]; !has && !set {
			return "", fmt.Errorf("the variable %s is not set; set it, or write ${env:%s:-default}", name, name)
		}
		return fallback, nil
	case "file":
		text, err := os.ReadFile(rest)
		if err != nil {
			return "", fmt.Errorf("the file %s cannot be read: %w", rest, errors.Unwrap(err))
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	default:
		return "", fmt.Errorf("${%s} is not understood; use ${env:NAME}, ${env:NAME:-default} or ${file:path}", ref)
	}
}

// reserved are the variables that are not paths of the configuration, with what
// they are for.
var reserved = map[string]string{
	"AGENTAPI_CONFIG":    "the configuration file",
	"AGENTAPI_PORT":      "the port to listen on",
	"AGENTAPI_DATA_DIR":  "where data is kept",
	"AGENTAPI_DEV_TOKEN": "the token of the built-in development identity",
	"AGENTAPI_URL":       "the server that commands such as agentapi chat talk to",
	"AGENTAPI_TOKEN":     "the token that they use",
}

// alias are variables that have a path of their own.
var alias = map[string]string{
	"LOG_LEVEL":       "log.level",
	"AUDIT_ENABLED":   "audit.enabled",
	"METRICS_ENABLED": "telemetry.metrics.enabled",

	"OTEL_EXPORTER_OTLP_ENDPOINT": "telemetry.traces.endpoint",
	"OTEL_SERVICE_NAME":           "telemetry.traces.service",
	"AGENTAPI_ALLOWED_HOSTS":      "server.allowed_hosts",
	"AGENTAPI_KEY_PEPPER":         "identity.key_pepper",

	"DATABASE_URL":              "storage.postgres.url",
	"DIRECT_URL":                "storage.postgres.direct_url",
	"SUPABASE_URL":              "storage.postgres.supabase.url",
	"SUPABASE_DB_PASSWORD":      "storage.postgres.supabase.password",
	"SUPABASE_POOLER_HOST":      "storage.postgres.supabase.pooler_host",
	"SUPABASE_SERVICE_ROLE_KEY": "storage.postgres.supabase.key",
	"SUPABASE_SECRET_KEY":       "storage.postgres.supabase.key",

	"REDIS_URL":                "cache.redis.url",
	"UPSTASH_REDIS_REST_URL":   "cache.redis.rest_url",
	"UPSTASH_REDIS_REST_TOKEN": "cache.redis.rest_token",
}

// chosen are the variables that name a database, and thereby the driver where
// nothing else does: whoever sets one shall not find the data elsewhere.
var chosen = map[string]string{
	"DATABASE_URL": "postgres", "SUPABASE_URL": "postgres",
	"REDIS_URL": "redis", "UPSTASH_REDIS_REST_URL": "redis",
}

// later are variables that are known and can do nothing yet.
var later = []string{
	"FACTORY_API_KEY",
}

// apply lays the environment over the file's values.
func (e *environ) apply(over *node, d *decoder) {
	names := make([]string, 0, len(e.vars))
	for name := range e.vars {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch path, isAlias := alias[strings.TrimSuffix(name, "_FILE")]; {
		case e.vars[name] == "":
		case isAlias:
			name = strings.TrimSuffix(name, "_FILE")
			e.alias(over, path, name, d)
		case slices.Contains(later, name):
			e.notices = append(e.notices, name+" is set, but nothing in this build uses it yet.")
		case strings.HasPrefix(name, "AGENTAPI_"):
			e.own(over, name, d)
		}
	}
	e.oidc(over, d)
	if port := e.value("AGENTAPI_PORT"); port != "" {
		e.port(over, port, "AGENTAPI_PORT", "127.0.0.1", d)
	} else if port := e.value("PORT"); port != "" {
		// Whoever sets PORT routes to it from outside.
		e.port(over, port, "PORT", "0.0.0.0", d)
		if over.at("server.allowed_hosts") == nil {
			e.put(over, "server.allowed_hosts", "['*']", "PORT", d)
		}
	}
}

// alias lays a variable of another name, or what is in its file, at its path.
func (e *environ) alias(over *node, path, name string, d *decoder) {
	text := e.value(name)
	if text == "" {
		d.problems = append(d.problems, &Problem{Where: name + "_FILE", What: "the file that it names cannot be read or is empty"})
		return
	}
	part, _, _ := strings.Cut(path, ".")
	if part == "storage" || part == "cache" { // an address or a secret, which is never YAML
		over.set(strings.Split(path, "."), scalar(text, "env "+name))
	} else {
		e.put(over, path, text, name, d)
	}
	driver := chosen[name]
	if driver == "" || e.vars["AGENTAPI_"+strings.ToUpper(part)+"__DRIVER"] != "" {
		return
	}
	switch says := over.at(part + ".driver"); {
	case says == nil:
		over.set([]string{part, "driver"}, scalar(driver, "env "+name))
	case says.scalar != nil && *says.scalar != driver:
		e.notices = append(e.notices, fmt.Sprintf("%s is set, but %s.driver is %s (%s), so it has no effect.", name, part, *says.scalar, says.origin))
	}
}

func (e *environ) own(over *node, name string, d *decoder) {
	base, isFile := strings.CutSuffix(name, "_FILE")
	isFile = isFile && !isSetting(reflect.TypeFor[Config](), pathOf(name))
	if reserved[name] != "" || (isFile && reserved[base] != "") || strings.HasPrefix(name, "AGENTAPI_TEST_") {
		return
	}
	if !strings.Contains(name, "__") && !isFile {
		have := make([]string, 0, len(reserved))
		for r := range reserved {
			have = append(have, r)
		}
		d.problems = append(d.problems, &Problem{Where: name, What: "unknown variable" + didYouMean(name, have) +
			"; settings are AGENTAPI_ and their path with __ for dots, such as AGENTAPI_SERVER__ADDR"})
		return
	}
	text := e.vars[name]
	if isFile {
		name = base
		if text = e.value(base); text == "" {
			d.problems = append(d.problems, &Problem{Where: base + "_FILE", What: "the file that it names cannot be read or is empty"})
			return
		}
	}
	e.put(over, strings.Join(pathOf(name), "."), text, name, d)
}

// pathOf is the path of the setting that a variable names.
func pathOf(name string) []string {
	segments := strings.Split(strings.ToLower(strings.TrimPrefix(name, "AGENTAPI_")), "__")
	if len(segments) > 1 && segments[0] == "agents" {
		segments[1] = strings.ReplaceAll(segments[1], "_", "-")
	}
	return segments
}

// isSetting tells whether t has a setting at path: audit.key_file is one of its
// own, and no file in which a setting audit.key is kept.
func isSetting(t reflect.Type, path []string) bool {
	if len(path) == 0 {
		return true
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for _, f := range visible(t) {
		if f.name == path[0] {
			return isSetting(f.typ, path[1:])
		}
	}
	return false
}

func (e *environ) put(over *node, path, text, name string, d *decoder) {
	if strings.HasPrefix(strings.TrimSpace(text), "[") || strings.HasPrefix(strings.TrimSpace(text), "{") {
		put(over, path, text, "env "+name, d)
		return
	}
	if path == "server.allowed_hosts" { // a plain list is what others take here
		n := &node{list: []*node{}, origin: "env " + name}
		for h := range strings.SplitSeq(text, ",") {
			n.list = append(n.list, scalar(strings.TrimSpace(h), n.origin))
		}
		over.set(strings.Split(path, "."), n)
		return
	}
	over.set(strings.Split(path, "."), scalar(text, "env "+name))
}

// port replaces the port of server.addr, and its host where none is configured.
func (e *environ) port(over *node, port, name, host string, d *decoder) {
	if n := over.at("server.addr"); n != nil && n.scalar != nil {
		if h, _, err := net.SplitHostPort(*n.scalar); err == nil {
			host = h
		}
	}
	e.put(over, "server.addr", net.JoinHostPort(host, port), name, d)
}

// arrange applies the variables that reorder the routing.
func (e *environ) arrange(tree *node) {
	primary, fallback := e.value("PRIMARY_AGENT"), strings.ToLower(e.value("FALLBACK_ENABLED"))
	if primary == "" && fallback == "" {
		return
	}
	agents := tree.at("agents")
	route := tree.at("routing.default")
	if agents == nil || route == nil {
		return
	}
	names := make([]string, 0, len(route.list))
	for _, n := range route.list {
		if n.scalar != nil {
			names = append(names, *n.scalar)
		}
	}
	if len(names) == 0 {
		names = slices.Clone(agents.order)
	}
	if primary == "ccrouter" {
		primary = "ccr"
	}
	if primary != "" {
		if agents.fields[primary] == nil {
			e.notices = append(e.notices, fmt.Sprintf("PRIMARY_AGENT names %s, but there is no such agent.", primary))
		} else {
			names = slices.DeleteFunc(names, func(n string) bool { return n == primary })
			names = slices.Insert(names, 0, primary)
		}
	}
	if slices.Contains([]string{"false", "0", "no", "off"}, fallback) && len(names) > 1 {
		names = names[:1]
	}
	out := &node{list: []*node{}, origin: "env PRIMARY_AGENT, FALLBACK_ENABLED"}
	for _, n := range names {
		out.list = append(out.list, scalar(n, out.origin))
	}
	tree.set([]string{"routing", "default"}, out)
}

package configs

import (
	"net/url"
	"slices"
	"strings"
)

// oidcNames are the variables that name a provider of logins.
var oidcNames = []string{"AUTHKIT_JWKS_URL", "WORKOS_CLIENT_ID", "OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_CLIENT_ID"}

// workOS is where WorkOS has its API, and so the keys of every client.
const workOS = "https://api.workos.com"

// oidc makes a provider of the variables that name one, where no file lists any,
// and has it asked who calls: whoever names one shall not find the door opened
// by a token for development.
func (e *environ) oidc(over *node, d *decoder) {
	var set []string
	for _, name := range oidcNames {
		if e.value(name) != "" {
			set = append(set, name)
		}
	}
	origin := "env " + strings.Join(set, ", ")
	switch listed := over.at("identity.oidc.issuers"); {
	case listed == nil && len(set) > 0:
		issuers := e.issuers(origin, d)
		if issuers == nil {
			return
		}
		over.set([]string{"identity", "oidc", "issuers"}, &node{list: issuers, origin: origin})
	case listed == nil:
		return
	case len(set) > 0:
		e.notices = append(e.notices, strings.Join(set, ", ")+": identity.oidc.issuers lists the providers, so this has no effect of its own.")
		origin = listed.origin
	default:
		origin = listed.origin
	}
	if over.at("identity.chain") == nil {
		over.set([]string{"identity", "chain"}, names(origin, "oidc", "apikey"))
		if e.value("AGENTAPI_DEV_TOKEN") != "" {
			e.notices = append(e.notices, "AGENTAPI_DEV_TOKEN is set, but callers log in by a provider only; identity.chain: [oidc, apikey, dev] takes both.")
		}
		return
	}
	if len(set) > 0 && !asks(over.at("identity.chain"), "oidc") {
		e.notices = append(e.notices, strings.Join(set, ", ")+": identity.chain has no oidc in it, so nobody logs in by that provider.")
	}
}

// asks tells whether a chain has a link of this name.
func asks(chain *node, name string) bool {
	return slices.ContainsFunc(chain.list, func(n *node) bool { return n.scalar != nil && *n.scalar == name })
}

// issuers are the entries that the variables make: one for all names of an
// issuer whose keys are at a known place, else one for each.
func (e *environ) issuers(origin string, d *decoder) []*node {
	bad := func(name, what string) []*node {
		d.problems = append(d.problems, &Problem{Where: name, What: what})
		return nil
	}
	known, accepted := split(e.value("OIDC_ISSUER")), split(e.value("OIDC_AUDIENCE"))
	keys, client := e.value("AUTHKIT_JWKS_URL"), e.value("WORKOS_CLIENT_ID")
	if keys != "" {
		if u, err := url.Parse(keys); err == nil && u.Scheme+"://"+u.Host == workOS {
			client, _ = strings.CutPrefix(u.Path, "/sso/jwks/")
		}
	} else if client != "" {
		if !strings.HasPrefix(client, "client_") || strings.ContainsAny(client, "/?#% \t") {
			return bad("WORKOS_CLIENT_ID", "it is no client's id, such as client_01…, which the dashboard shows beside the API keys")
		}
		keys = workOS + "/sso/jwks/" + client
	}
	switch {
	case len(known) > 0:
	case keys == "":
		return bad(strings.TrimPrefix(origin, "env "), "it names no provider: set OIDC_ISSUER, WORKOS_CLIENT_ID or AUTHKIT_JWKS_URL, too")
	case client == "":
		return bad("AUTHKIT_JWKS_URL", "it does not tell the issuer: set OIDC_ISSUER (or WORKOS_CLIENT_ID), too")
	default:
		known = []string{workOS, workOS + "/user_management/" + client}
	}
	entry := func(issuer *node) *node {
		out := &node{fields: map[string]*node{}, origin: origin}
		out.set([]string{"issuer"}, issuer)
		if keys != "" {
			out.set([]string{"jwks_url"}, scalar(keys, origin))
		}
		if len(accepted) > 0 {
			out.set([]string{"audience"}, names(origin, accepted...))
		}
		if id := e.value("OIDC_CLIENT_ID"); id != "" {
			out.set([]string{"client_id"}, scalar(id, origin))
		}
		return out
	}
	if keys != "" {
		return []*node{entry(names(origin, known...))}
	}
	var out []*node
	for _, k := range known {
		out = append(out, entry(names(origin, k)))
	}
	return out
}

// split reads a list with commas between, in brackets or not.
func split(text string) (out []string) {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.Trim(strings.TrimSpace(item), `"'`); item != "" {
			out = append(out, item)
		}
	}
	return out
}

func names(origin string, all ...string) *node {
	out := &node{list: []*node{}, origin: origin}
	for _, name := range all {
		out.list = append(out.list, scalar(name, origin))
	}
	return out
}

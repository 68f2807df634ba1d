// Package discovery tells clients where callers get what they prove themselves
// with: RFC 9728, and what agentapi login needs besides.
package discovery

import (
	"encoding/json"
	"net"
	"strings"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
)

// Login is a provider whose tokens are taken.
type Login struct {
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id"` // the public client of agentapi login; empty: it has none
	Audience string   `json:"audience"`  // whom a token must be meant for; empty: anybody
	Scopes   []string `json:"scopes"`
}

// Handler serves what is public about logging in.
type Handler struct{ Logins []Login }

// Path is where the metadata is.
const Path = "/.well-known/oauth-protected-resource"

// Metadata is the address of the metadata for a client that calls the server by the
// host; empty where that is no host.
func Metadata(host string) string {
	if host == "" || strings.Trim(host, hostly) != "" {
		return ""
	}
	return base(host) + Path
}

// hostly are the characters of names, addresses and ports.
const hostly = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"

// base is the server as the client calls it: by https, but on the machine itself.
func base(host string) string {
	if loopback(host) {
		return "http://" + host
	}
	return "https://" + host
}

// Resource answers GET /.well-known/oauth-protected-resource.
func (h *Handler) Resource(c *fiber.Ctx) error {
	out := struct {
		Resource string   `json:"resource"`
		Issuers  []string `json:"authorization_servers,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
		Name     string   `json:"resource_name"`
		Logins   []Login  `json:"agentapi_logins"`
	}{Resource: base(string(c.Request().Host())), Methods: []string{"header"}, Name: "AgentAPI", Logins: []Login{}}
	for _, l := range h.Logins {
		out.Issuers = append(out.Issuers, l.Issuer)
		if l.Scopes == nil {
			l.Scopes = []string{}
		}
		if l.ClientID != "" {
			out.Logins = append(out.Logins, l)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return fault.Internalf("encoding the metadata: %w", err)
	}
	c.Response().Header.SetContentType("application/json")
	c.Response().SetBodyRaw(text)
	return nil
}

// loopback tells whether a Host header names the machine itself.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

package postgres

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"agentapi/domain/fault"
)

// role is the login role of the server that migrations make on Supabase, where
// the only role that one is given bypasses row-level security.
const role = "agentapi_server"

// derive makes the URLs of a project. The server's own role gets a password that
// is made of the database's, so that there is one secret to keep.
func (s *Supabase) derive(o *Options) error {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" {
		return fault.Invalidf("supabase.url", "invalid_value", "supabase.url: %q is no address such as https://PROJECT.supabase.co", s.URL)
	}
	project, _, _ := strings.Cut(u.Hostname(), ".")
	if s.Password == "" || looksLikeKey(s.Password) {
		what := "SUPABASE_DB_PASSWORD is not set"
		if s.Key != "" || s.Password != "" {
			what = "a service-role key is no database password"
		}
		return fault.Invalidf("supabase.password", "missing_required_parameter", "supabase.password: %s; set SUPABASE_DB_PASSWORD to the password that the dashboard shows or resets under Database, or set DATABASE_URL", what)
	}
	mac := hmac.New(sha256.New, []byte(s.Password))
	mac.Write([]byte("agentapi: the server's own role"))
	own := hex.EncodeToString(mac.Sum(nil))
	address := func(user, password, host string) string {
		return (&url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: host, Path: "/postgres", RawQuery: "sslmode=require"}).String()
	}
	if strings.ContainsAny(s.PoolerHost, ":/@ ") { // not shown: a whole address has a password in it
		return fault.Invalidf("supabase.pooler_host", "invalid_value", "supabase.pooler_host: give the host's name alone, such as aws-0-REGION.pooler.supabase.com, without user and port")
	}
	if s.PoolerHost != "" {
		o.URL = address(role+"."+project, own, s.PoolerHost+":6543")
		o.DirectURL = address("postgres."+project, s.Password, s.PoolerHost+":5432") // which pools sessions
		return nil
	}
	host := "db." + u.Hostname() + ":5432"
	o.URL, o.DirectURL = address(role, own, host), address("postgres", s.Password, host)
	return nil
}

// looksLikeKey tells an API key: a JSON web token, or a key of the newer kind.
func looksLikeKey(s string) bool {
	return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 || strings.HasPrefix(s, "sb_secret_") || strings.HasPrefix(s, "sb_publishable_")
}

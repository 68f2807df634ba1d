package http

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/admin"
	"agentapi/adapters/http/discovery"
	"agentapi/adapters/http/docs"
	"agentapi/adapters/http/openai"
	"agentapi/adapters/http/ops"
	"agentapi/adapters/http/organization"
	"agentapi/adapters/http/request"
	"agentapi/adapters/http/scim"
	"agentapi/adapters/http/sessions"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Route is one way in. What it may need is checked before it is served: a
// permission in whatever organisation; of which one its use case checks.
type Route struct {
	Method, Path string
	May          tenancy.Permission // empty: it is open to all
	serve        fiber.Handler
}

// Surface is every way in, without what serves it.
func Surface() []Route { return (&Server{}).surface() }

// surface is the whole surface, in the order in which paths are tried.
func (s *Server) surface() []Route {
	health := &ops.Handler{Vitals: s.p.Vitals, Version: s.p.Version, Base: s.base, Limit: storageLimit, Operator: s.operator, Metrics: s.p.Metrics}
	chat := &openai.Chat{Completer: s.p.Completer, Base: s.base, Heartbeat: s.p.Heartbeat, Stall: stallTimeout, Resumable: s.p.Resumable}
	models := &openai.Models{Catalog: s.p.Catalog, Base: s.base}
	own := &sessions.Handler{Conversations: s.p.Conversations, Base: s.base, Limit: storageLimit, Stall: stallTimeout}
	adm := &admin.Handler{Admin: s.p.Admin, Operations: s.p.Operations, Reports: s.p.Reports, Base: s.base, Limit: storageLimit, Stall: stallTimeout}
	org := &organization.Handler{Admin: s.p.Admin, Reports: s.p.Reports, Base: s.base, Limit: storageLimit} // OpenAI's own
	where := &discovery.Handler{Logins: s.p.Logins}
	prov := &scim.Handler{Provision: s.p.Provision, Base: s.base, Limit: provisionLimit}
	doc := docs.New(s.p.Description)
	return []Route{
		{"GET", "/livez", "", health.Live},
		{"GET", "/healthz", "", health.Live},
		{"GET", "/readyz", "", health.Ready},
		{"GET", "/health", "", health.Health},
		{"GET", "/status", "", health.Status},
		{"GET", "/metrics", "", health.Numbers},

		{"GET", "/.well-known/oauth-protected-resource", "", where.Resource},
		{"GET", "/openapi.json", "", doc.JSON},
		{"GET", "/openapi.yaml", "", doc.YAML},
		{"GET", "/llms.txt", "", doc.LLMs},
		{"GET", "/docs", "", doc.Page},
		{"GET", "/docs/reference.js", "", doc.Reference},
		{"GET", "/docs/start.js", "", doc.Start},

		{"POST", "/v1/chat/completions", tenancy.UseChat, chat.Serve},
		{"GET", "/v1/models", tenancy.ReadModels, models.List},
		{"GET", "/v1/models/*", tenancy.ReadModels, models.Get},

		{"GET", "/v1/organization/users", tenancy.ReadMembers, org.Users},
		{"GET", "/v1/organization/users/:user", tenancy.ReadMembers, org.User},
		{"POST", "/v1/organization/users/:user", tenancy.WriteMembers, org.EditUser},
		{"DELETE", "/v1/organization/users/:user", tenancy.WriteMembers, org.RemoveUser},
		{"GET", "/v1/organization/invites", tenancy.ReadMembers, org.Invites},
		{"POST", "/v1/organization/invites", tenancy.WriteMembers, org.Invite},
		{"GET", "/v1/organization/invites/:invite", tenancy.ReadMembers, org.Invitation},
		{"DELETE", "/v1/organization/invites/:invite", tenancy.WriteMembers, org.Uninvite},
		{"GET", "/v1/organization/projects", tenancy.ReadOrg, org.Projects},
		{"POST", "/v1/organization/projects", tenancy.WriteOrg, org.OneProject},
		{"GET", "/v1/organization/projects/:project", tenancy.ReadOrg, org.Project},
		{"POST", "/v1/organization/projects/:project", tenancy.WriteOrg, org.OneProject},
		{"POST", "/v1/organization/projects/:project/archive", tenancy.WriteOrg, org.OneProject},
		{"GET", "/v1/organization/projects/:project/users", tenancy.ReadMembers, org.ProjectUsers},
		{"GET", "/v1/organization/projects/:project/service_accounts", tenancy.ReadMembers, org.Accounts},
		{"POST", "/v1/organization/projects/:project/service_accounts", tenancy.WriteKeys, org.CreateAccount},
		{"GET", "/v1/organization/projects/:project/service_accounts/:account", tenancy.ReadMembers, org.Account},
		{"DELETE", "/v1/organization/projects/:project/service_accounts/:account", tenancy.WriteMembers, org.RemoveAccount},
		{"GET", "/v1/organization/projects/:project/api_keys", tenancy.ReadKeys, org.ProjectKeys},
		{"GET", "/v1/organization/projects/:project/api_keys/:key", tenancy.ReadKeys, org.ProjectKey},
		{"DELETE", "/v1/organization/projects/:project/api_keys/:key", tenancy.WriteKeys, org.RevokeProjectKey},
		{"GET", "/v1/organization/audit_logs", tenancy.ReadAudit, org.Log},
		{"GET", "/v1/organization/costs", tenancy.ReadUsage, org.Costs},
		{"GET", "/v1/organization/usage/completions", tenancy.ReadUsage, org.Usage},
		{"GET", "/v1/organization/usage/audio_speeches", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/audio_transcriptions", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/code_interpreter_sessions", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/embeddings", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/file_search_calls", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/images", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/moderations", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/vector_stores", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/usage/web_search_calls", tenancy.ReadUsage, org.NoUsage},
		{"GET", "/v1/organization/admin_api_keys", tenancy.ReadKeys, org.AdminKeys},
		{"POST", "/v1/organization/admin_api_keys", tenancy.WriteKeys, org.CreateAdminKey},
		{"GET", "/v1/organization/admin_api_keys/:key", tenancy.ReadKeys, org.AdminKey},
		{"DELETE", "/v1/organization/admin_api_keys/:key", tenancy.WriteKeys, org.RevokeAdminKey},

		{"GET", "/api/v1/sessions", tenancy.OwnSessions, own.List},
		{"POST", "/api/v1/sessions", tenancy.OwnSessions, own.Create},
		{"GET", "/api/v1/sessions/:id", tenancy.OwnSessions, own.Get},
		{"PATCH", "/api/v1/sessions/:id", tenancy.OwnSessions, own.Patch},
		{"DELETE", "/api/v1/sessions/:id", tenancy.OwnSessions, own.Delete},
		{"GET", "/api/v1/sessions/:id/export", tenancy.OwnSessions, own.Export},
		{"GET", "/api/v1/sessions/:id/messages", tenancy.OwnSessions, own.Messages},

		{"GET", "/api/v1/me", tenancy.ReadSelf, adm.Me},
		{"GET", "/api/v1/me/usage", tenancy.ReadSelf, adm.OwnUsage},
		{"GET", "/api/v1/me/api-keys", tenancy.OwnKeys, adm.OwnKeys},
		{"POST", "/api/v1/me/api-keys", tenancy.OwnKeys, adm.CreateKey},
		{"GET", "/api/v1/me/api-keys/:key", tenancy.OwnKeys, adm.Key},
		{"PATCH", "/api/v1/me/api-keys/:key", tenancy.OwnKeys, adm.EditKey},
		{"DELETE", "/api/v1/me/api-keys/:key", tenancy.OwnKeys, adm.RevokeKey},
		{"POST", "/api/v1/me/api-keys/:key/rotate", tenancy.OwnKeys, adm.RotateKey},

		{"GET", "/api/v1/orgs/:org", tenancy.ReadOrg, adm.Org},
		{"PATCH", "/api/v1/orgs/:org", tenancy.WriteOrg, adm.EditOrg},
		{"GET", "/api/v1/orgs/:org/allowed-models", tenancy.ReadOrg, adm.AllowedModels},
		{"PATCH", "/api/v1/orgs/:org/allowed-models", tenancy.WriteOrg, adm.AllowModels},
		{"GET", "/api/v1/orgs/:org/retention", tenancy.ReadOrg, adm.Retention},
		{"PATCH", "/api/v1/orgs/:org/retention", tenancy.WriteData, adm.EditRetention},
		{"GET", "/api/v1/orgs/:org/members", tenancy.ReadMembers, adm.Members},
		{"POST", "/api/v1/orgs/:org/members", tenancy.WriteMembers, adm.AddMember},
		{"GET", "/api/v1/orgs/:org/members/:user", tenancy.ReadMembers, adm.Member},
		{"PATCH", "/api/v1/orgs/:org/members/:user", tenancy.WriteMembers, adm.EditMember},
		{"DELETE", "/api/v1/orgs/:org/members/:user", tenancy.WriteMembers, adm.RemoveMember},
		{"GET", "/api/v1/orgs/:org/invites", tenancy.ReadMembers, adm.Invites},
		{"POST", "/api/v1/orgs/:org/invites", tenancy.WriteMembers, adm.Invite},
		{"GET", "/api/v1/orgs/:org/invites/:invite", tenancy.ReadMembers, adm.Invitation},
		{"DELETE", "/api/v1/orgs/:org/invites/:invite", tenancy.WriteMembers, adm.RevokeInvitation},
		{"GET", "/api/v1/orgs/:org/api-keys", tenancy.ReadKeys, adm.Keys},
		{"POST", "/api/v1/orgs/:org/api-keys", tenancy.WriteKeys, adm.CreateKey},
		{"GET", "/api/v1/orgs/:org/api-keys/:key", tenancy.ReadKeys, adm.Key},
		{"PATCH", "/api/v1/orgs/:org/api-keys/:key", tenancy.WriteKeys, adm.EditKey},
		{"DELETE", "/api/v1/orgs/:org/api-keys/:key", tenancy.WriteKeys, adm.RevokeKey},
		{"POST", "/api/v1/orgs/:org/api-keys/:key/rotate", tenancy.WriteKeys, adm.RotateKey},

		{"GET", "/api/v1/orgs/:org/budgets", tenancy.ReadUsage, adm.Budgets},
		{"POST", "/api/v1/orgs/:org/budgets", tenancy.WriteBudgets, adm.CreateBudget},
		{"GET", "/api/v1/orgs/:org/budgets/:budget", tenancy.ReadUsage, adm.Budget},
		{"PATCH", "/api/v1/orgs/:org/budgets/:budget", tenancy.WriteBudgets, adm.EditBudget},
		{"DELETE", "/api/v1/orgs/:org/budgets/:budget", tenancy.WriteBudgets, adm.RemoveBudget},

		{"GET", "/api/v1/orgs/:org/limits", tenancy.ReadUsage, adm.Limits},
		{"PATCH", "/api/v1/orgs/:org/limits", tenancy.WriteBudgets, adm.EditLimits},
		{"GET", "/api/v1/orgs/:org/members/:user/limits", tenancy.ReadUsage, adm.Limits},
		{"PATCH", "/api/v1/orgs/:org/members/:user/limits", tenancy.WriteBudgets, adm.EditLimits},
		{"GET", "/api/v1/orgs/:org/api-keys/:key/limits", tenancy.ReadUsage, adm.Limits},
		{"PATCH", "/api/v1/orgs/:org/api-keys/:key/limits", tenancy.WriteBudgets, adm.EditLimits},

		{"GET", "/api/v1/orgs/:org/models", tenancy.ReadModels, adm.OrgModels},
		{"GET", "/api/v1/orgs/:org/sessions", tenancy.ReadSessions, adm.OrgSessions},
		{"GET", "/api/v1/orgs/:org/sessions/:id", tenancy.ReadSessions, adm.OrgSession},
		{"DELETE", "/api/v1/orgs/:org/sessions/:id", tenancy.WriteSessions, adm.RemoveSession},
		{"POST", "/api/v1/orgs/:org/users/:user/export", tenancy.WriteData, adm.ExportUser},
		{"DELETE", "/api/v1/orgs/:org/users/:user", tenancy.WriteData, adm.EraseUser},
		{"GET", "/api/v1/orgs/:org/jobs", tenancy.WriteData, adm.Jobs},
		{"GET", "/api/v1/orgs/:org/jobs/:job", tenancy.WriteData, adm.Job},
		{"GET", "/api/v1/orgs/:org/jobs/:job/result", tenancy.WriteData, adm.JobResult},
		{"GET", "/api/v1/orgs/:org/usage", tenancy.ReadUsage, adm.OrgUsage},

		{"GET", "/api/v1/orgs/:org/audit", tenancy.ReadAudit, adm.Log},
		{"GET", "/api/v1/orgs/:org/audit/export", tenancy.ReadAudit, adm.ExportLog},

		{"GET", "/api/v1/platform/usage", tenancy.ReadPlatform, adm.Usage},
		{"GET", "/api/v1/platform/audit", tenancy.ReadPlatform, adm.Log},
		{"GET", "/api/v1/platform/audit/checkpoints", tenancy.ReadPlatform, adm.Checkpoints},
		{"GET", "/api/v1/platform/audit/export", tenancy.ReadPlatform, adm.ExportLog},
		{"GET", "/api/v1/platform/audit/verify", tenancy.ReadPlatform, adm.Verified},
		{"POST", "/api/v1/platform/audit/verify", tenancy.WritePlatform, adm.Verify},
		{"GET", "/api/v1/platform/orgs", tenancy.ReadPlatform, adm.Orgs},
		{"POST", "/api/v1/platform/orgs", tenancy.WritePlatform, adm.CreateOrg},
		{"DELETE", "/api/v1/platform/orgs/:org", tenancy.WritePlatform, adm.EraseOrg},
		{"GET", "/api/v1/platform/users", tenancy.ReadPlatform, adm.Users},
		{"PATCH", "/api/v1/platform/users/:user", tenancy.WritePlatform, adm.EditUser},
		{"GET", "/api/v1/platform/admins", tenancy.ReadPlatform, adm.Admins},
		{"POST", "/api/v1/platform/admins", tenancy.WritePlatform, adm.Appoint},
		{"DELETE", "/api/v1/platform/admins/:user", tenancy.WritePlatform, adm.Dismiss},
		{"GET", "/api/v1/platform/roles", tenancy.ReadPlatform, adm.Roles},

		{"GET", "/api/v1/platform/agents", tenancy.ReadPlatform, adm.Agents},
		{"GET", "/api/v1/platform/agents/:agent", tenancy.ReadPlatform, adm.Agent},
		{"PATCH", "/api/v1/platform/agents/:agent", tenancy.WritePlatform, adm.EditAgent},
		{"GET", "/api/v1/platform/agents/:agent/health", tenancy.ReadPlatform, adm.AgentHealth},
		{"POST", "/api/v1/platform/agents/:agent/drain", tenancy.WritePlatform, adm.DrainAgent},
		{"POST", "/api/v1/platform/agents/:agent/resume", tenancy.WritePlatform, adm.ResumeAgent},
		{"POST", "/api/v1/platform/agents/:agent/reset", tenancy.WritePlatform, adm.ResetAgent},
		{"POST", "/api/v1/platform/agents/:agent/test", tenancy.WritePlatform, adm.TestAgent},
		{"GET", "/api/v1/platform/models", tenancy.ReadPlatform, adm.Models},
		{"GET", "/api/v1/platform/aliases", tenancy.ReadPlatform, adm.Aliases},
		{"GET", "/api/v1/platform/sessions", tenancy.ReadPlatform, adm.Running},
		{"DELETE", "/api/v1/platform/sessions/:request", tenancy.WritePlatform, adm.EndRequest},
		{"GET", "/api/v1/platform/requests/:request/explain", tenancy.ReadPlatform, adm.Explain},
		{"GET", "/api/v1/platform/stats", tenancy.ReadPlatform, adm.Stats},
		{"GET", "/api/v1/platform/config", tenancy.ReadPlatform, adm.Config},
		{"POST", "/api/v1/platform/config/reload", tenancy.WritePlatform, adm.ReloadConfig},

		{"GET", "/scim/v2/ServiceProviderConfig", tenancy.WriteSCIM, prov.Config},
		{"GET", "/scim/v2/ResourceTypes", tenancy.WriteSCIM, prov.Types},
		{"GET", "/scim/v2/ResourceTypes/:id", tenancy.WriteSCIM, prov.Type},
		{"GET", "/scim/v2/Schemas", tenancy.WriteSCIM, prov.Schemas},
		{"GET", "/scim/v2/Schemas/:id", tenancy.WriteSCIM, prov.Schema},
		{"GET", "/scim/v2/Users", tenancy.WriteSCIM, prov.Users},
		{"POST", "/scim/v2/Users", tenancy.WriteSCIM, prov.AddUser},
		{"GET", "/scim/v2/Users/:id", tenancy.WriteSCIM, prov.User},
		{"PUT", "/scim/v2/Users/:id", tenancy.WriteSCIM, prov.ReplaceUser},
		{"PATCH", "/scim/v2/Users/:id", tenancy.WriteSCIM, prov.PatchUser},
		{"DELETE", "/scim/v2/Users/:id", tenancy.WriteSCIM, prov.RemoveUser},
		{"GET", "/scim/v2/Groups", tenancy.WriteSCIM, prov.Groups},
		{"POST", "/scim/v2/Groups", tenancy.WriteSCIM, prov.AddGroup},
		{"GET", "/scim/v2/Groups/:id", tenancy.WriteSCIM, prov.Group},
		{"PUT", "/scim/v2/Groups/:id", tenancy.WriteSCIM, prov.ReplaceGroup},
		{"PATCH", "/scim/v2/Groups/:id", tenancy.WriteSCIM, prov.PatchGroup},
		{"DELETE", "/scim/v2/Groups/:id", tenancy.WriteSCIM, prov.RemoveGroup},
	}
}

// routes registers the surface. There is no other way for a route to come in.
func (s *Server) routes() {
	s.app.Use(s.enter)
	s.table = s.surface()
	for _, r := range s.table {
		guarded := func(c *fiber.Ctx) error {
			call := request.Of(c)
			call.Route = r.Path
			if r.May == "" {
				return r.serve(c)
			}
			return s.guard(c, call, r)
		}
		if s.app.Add(r.Method, r.Path, guarded); r.Method == http.MethodGet {
			s.app.Add(http.MethodHead, r.Path, guarded)
		}
	}
	s.app.Use(s.nowhere)
}

// isOurs tells whether a path belongs to our own API, whose errors have the
// members of RFC 9457 too.
func isOurs(path string) bool { return strings.HasPrefix(path, "/api/v1/") }

// isSCIM tells whether a path belongs to SCIM, whose errors have a form of their own.
func isSCIM(path string) bool { return strings.HasPrefix(path, scim.Base+"/") }

// needsCredential tells whether a path lies behind authentication. Whatever
// looks like an API does, routes that do not exist included, so that strangers
// cannot map it.
func needsCredential(path string) bool {
	return strings.HasPrefix(path, "/v1/") || isOurs(path) || isSCIM(path)
}

// isHealth tells whether a path is a health route: those are open to probes,
// whatever host name they use, and while the server drains.
func isHealth(path string) bool {
	switch path {
	case "/livez", "/readyz", "/healthz", "/health", "/status":
		return true
	default:
		return false
	}
}

// enter is what every request passes first: an id, HTTP's rules, the host, the
// credential. It renders errors and logs the request when it is answered.
func (s *Server) enter(c *fiber.Ctx) (err error) {
	call, seen := c.Locals(request.Local).(*request.Call)
	if !seen {
		call = s.begin(c)
	}
	s.count()
	if s.p.Tracer != nil {
		method := call.Method
		if !known(method) {
			method = "_OTHER"
		}
		call.Span = s.p.Tracer.Begin(string(request.Peek(c, "Traceparent")), method)
	}
	defer func() {
		if r := recover(); r != nil {
			err = s.fail(c, fault.Internalf("panic: %v", r))
		}
		resp := c.Response()
		if s.leaving.Load() {
			resp.SetConnectionClose()
		}
		request.PutInt(&resp.Header, "Openai-Processing-Ms", time.Since(call.Started).Milliseconds())
		if !call.Kept() {
			call.End(resp.StatusCode())
		}
	}()
	if err := s.admit(c, call); err != nil {
		return s.fail(c, err)
	}
	if err := c.Next(); err != nil {
		return s.fail(c, err)
	}
	return nil
}

func (s *Server) admit(c *fiber.Ctx, call *request.Call) error {
	if err := s.strict(c); err != nil {
		c.Context().SetConnectionClose() // where HTTP is broken, what follows on the connection is not to be trusted
		return err
	}
	if isHealth(call.Path) {
		return nil
	}
	if !s.servesHost(c) {
		return fiber.NewError(http.StatusMisdirectedRequest)
	}
	if needsCredential(call.Path) {
		if err := s.authenticate(c); err != nil {
			return err
		}
	}
	if s.draining.Load() {
		c.Context().SetConnectionClose()
		return request.ErrShutdown
	}
	return nil
}

// nowhere answers what no route does: another method may be right, or the path
// leads nowhere.
func (s *Server) nowhere(c *fiber.Ctx) error {
	call := request.Of(c)
	if allowed := s.allowed(call.Path); allowed != "" {
		c.Set("Allow", allowed)
		return fiber.NewError(http.StatusMethodNotAllowed)
	}
	f := fault.NotFoundf("not_found", "Invalid URL (%s %s)", clip(call.Method, 16), clip(strings.ToValidUTF8(call.Path, "?"), 128))
	return f.WithHint(cmp.Or(elsewhere[call.Path], "GET /docs shows what is served, GET /openapi.json lists it."))
}

// elsewhere helps callers of routes that other servers have and this one does not.
var elsewhere = map[string]string{
	"/v1/completions":   "Use POST /v1/chat/completions.",
	"/v1/embeddings":    "This server has no embeddings; ask the provider of your embedding model.",
	"/v1/responses":     "Use POST /v1/chat/completions.",
	"/chat/completions": "The base URL ends in /v1: use POST /v1/chat/completions.",
	"/models":           "The base URL ends in /v1: use GET /v1/models.",

	"/v1/v1/chat/completions": "The base URL has /v1 once: use POST /v1/chat/completions.",
	"/v1/v1/models":           "The base URL has /v1 once: use GET /v1/models.",
	"/v1/messages":            "Anthropic's API is not served: use POST /v1/chat/completions.",

	// coder/agentapi's, which has the same name and port.
	"/message":  "This is not coder/agentapi: use POST /v1/chat/completions with an X-Session-Id.",
	"/messages": "This is not coder/agentapi: use GET /api/v1/sessions.",
	"/events":   "This is not coder/agentapi: use POST /v1/chat/completions with \"stream\": true.",
}

// allowed names the methods of a path that exists.
func (s *Server) allowed(path string) string {
	var methods []string
	for _, r := range s.table {
		if fiber.RoutePatternMatch(path, r.Path, fiber.Config{CaseSensitive: true, StrictRouting: true}) {
			methods = append(methods, r.Method)
		}
	}
	return strings.Join(methods, ", ")
}

var errAmbiguous = errors.New("two credentials")

// authenticate finds who calls. One extractor serves all routes: a credential
// that one rule sees and another does not is how checks are passed by.
func (s *Server) authenticate(c *fiber.Ctx) error {
	bearer, err := credential(c)
	if errors.Is(err, errAmbiguous) {
		return fault.New(fault.Unauthenticated, "The request carries more than one credential. Send one Authorization header.").WithCode("invalid_api_key")
	}
	if err != nil {
		return err
	}
	call := request.Of(c)
	from, _ := netip.AddrFromSlice(c.Context().RemoteIP())
	call.Caller, err = s.p.Access.Authenticate(call.Within(s.base), bearer, tenancy.Origin{Address: from.Unmap(), Agent: c.Get(fiber.HeaderUserAgent)})
	return err
}

// operator tells whether an open route is asked by somebody who may see the platform.
// Who presents nothing, or nothing good, is a stranger there, not refused.
func (s *Server) operator(c *fiber.Ctx) bool {
	if len(request.Peek(c, "Authorization")) == 0 || s.authenticate(c) != nil {
		return false
	}
	return request.Of(c).Caller.Can(tenancy.ReadPlatform)
}

func credential(c *fiber.Ctx) (string, error) {
	h := &c.Request().Header
	all, keys := h.PeekAll("Authorization"), h.PeekAll("Api-Key")
	if len(all)+len(keys) > 1 {
		return "", errAmbiguous
	}
	if len(keys) == 1 {
		return string(keys[0]), nil
	}
	if len(all) == 0 {
		return "", fault.New(fault.Unauthenticated, "You didn't provide an API key. Send it in an Authorization header: Authorization: Bearer YOUR_KEY.")
	}
	scheme, token, ok := strings.Cut(string(all[0]), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fault.New(fault.Unauthenticated, "The Authorization header must be: Bearer YOUR_KEY.").WithCode("invalid_api_key")
	}
	return token, nil
}

package http

import (
	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// guard serves a route to who may, and has recorded who may not, and who sees what
// is another organisation's.
func (s *Server) guard(c *fiber.Ctx, call *request.Call, r Route) error {
	err := call.Caller.May(r.May)
	if err == nil {
		err = r.serve(c)
	}
	if fault.Is(err, fault.Forbidden) {
		return s.p.Access.Denied(call.Within(s.base), call.Caller, r.May, call.ID, err)
	}
	if err != nil || !call.Caller.Role().IsPlatform() || r.Method != fiber.MethodGet {
		return err
	}
	// The answer, a stream too, begins when this has returned.
	org, of := tenancy.ParseOrgID(c.Params("org"))
	if of != nil {
		org = call.Org
	}
	if org.IsZero() || org == call.Caller.Org() {
		return nil
	}
	return s.p.Access.Crossed(call.Within(s.base), call.Caller, org, r.May, r.Path, call.ID)
}

package admin

import (
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// entry is one of the audit log: its place in the chain, and what it says, byte for
// byte as it was hashed.
type entry struct {
	Object string          `json:"object"`
	Seq    uint64          `json:"seq"`
	Prev   string          `json:"prev"`
	Hash   string          `json:"hash"`
	Entry  json.RawMessage `json:"entry"`
}

// Log answers GET /api/v1/platform/audit and GET /api/v1/orgs/{org}/audit, the newest
// first unless told otherwise. Cursors are sequence numbers.
func (h *Handler) Log(c *fiber.Ctx) error {
	in, err := realm(c)
	if err != nil {
		return err
	}
	var f audit.Filter
	names := "actor, action, since and until"
	if in.IsZero() {
		names = "org, " + names
	}
	q, err := rest.Query(c, names, func(name, value string) (known bool, err error) {
		switch name {
		case "actor":
			f.Actor = value
		case "action":
			f.Action = audit.Action(value)
		case "since":
			f.Since, err = rest.Moment(name, value)
		case "until":
			f.Until, err = rest.Moment(name, value)
		case "org":
			if !in.IsZero() {
				return false, nil
			}
			if f.Org, err = tenancy.ParseOrgID(value); err != nil {
				err = fault.Invalidf("org", "invalid_id", "org must be the id of an organisation.")
			}
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return err
	}
	if c.Query("order") == "" {
		q.Desc = true
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, err := h.Admin.Log(ctx, caller(c), in, f, q)
	if err != nil {
		return err
	}
	return sendList(c, found, func(s audit.Sealed) (string, any) {
		return strconv.FormatUint(s.Seq, 10), entry{"audit_entry", s.Seq, hex.EncodeToString(s.Prev[:]), hex.EncodeToString(s.Hash[:]), s.Canon}
	})
}

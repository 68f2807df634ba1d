package organization

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/reports"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// types are OpenAI's words for what is done here, too. What they have no word for is
// told in ours.
var types = map[audit.Action]string{
	audit.AuthFailed: "login.failed", audit.KeyCreated: "api_key.created", audit.KeyChanged: "api_key.updated",
	audit.KeyRevoked: "api_key.deleted", audit.MemberAdded: "user.added", audit.MemberChanged: "user.updated", audit.MemberRemoved: "user.deleted",
	audit.OrgChanged: "organization.updated", audit.InvitationCreated: "invite.sent", audit.InvitationAccepted: "invite.accepted", audit.InvitationRevoked: "invite.deleted",
}

// person is who did something.
type person struct {
	ID    string  `json:"id"`
	Email *string `json:"email"`
}

// said is what an entry has in clear.
type said struct {
	Target  string            `json:"target"`
	Outcome string            `json:"outcome"`
	Request string            `json:"request"`
	Details map[string]string `json:"details"`
}

// recordID is an entry's name and a list's cursor: its place in the log.
const recordID = "audit_log-"

// recordOf is an entry as OpenAI has it: what it says stands under a member with its
// type's name.
func recordOf(e reports.Entry) (string, any) {
	id, event := recordID+strconv.FormatUint(e.Seq, 10), string(e.Columns.Action)
	if t := types[e.Columns.Action]; t != "" {
		event = t
	}
	who := person{ID: e.Columns.Actor}
	if !e.User.IsZero() {
		who.ID = e.User.String()
	}
	if e.By != nil {
		who.Email = text(e.By.Email)
	}
	var s said
	_ = json.Unmarshal(e.Canon, &s) // a broken entry shows without details; the verifier says so
	return id, map[string]any{
		"object": "organization.audit_log", "id": id, "type": event, "effective_at": e.Columns.AtMicros / int64(time.Second/time.Microsecond),
		"actor": map[string]any{"type": "session", "session": map[string]any{"user": who}},
		event:   map[string]any{"id": s.Target, "action": e.Columns.Action, "outcome": s.Outcome, "request_id": s.Request, "data": s.Details},
	}
}

// Log answers GET /v1/organization/audit_logs, the newest first.
func (h *Handler) Log(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		var (
			f  audit.Filter
			by tenancy.UserID
		)
		q, err := rest.Query(c, "effective_at[gt], [gte], [lt] and [lte], event_types[], actor_ids[] and project_ids[]", func(name, value string) (known bool, err error) {
			bound, isTime := strings.CutPrefix(name, "effective_at[")
			switch name {
			case "event_types[]", "event_types":
				if f.Action != "" {
					return true, one(name)
				}
				f.Action = actionOf(value)
				return true, nil
			case "actor_ids[]", "actor_ids":
				if !by.IsZero() {
					return true, one(name)
				}
				by, err = tenancy.ParseUserID(value)
				return true, wrong(err, name)
			case "project_ids[]", "project_ids":
				if id, err := tenancy.ParseProjectID(value); err != nil || id != tenancy.ProjectOf(r.org) {
					return true, fault.NotFoundf("project_not_found", "There is no such project.")
				}
				return true, nil
			}
			if !isTime {
				return false, nil
			}
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil || seconds < 0 || seconds > 1<<40 {
				return true, fault.Invalidf("effective_at", "invalid_type", "effective_at must be a time in seconds since 1970.")
			}
			switch bound {
			case "gte]":
				f.Since = time.Unix(seconds, 0)
			case "gt]":
				f.Since = time.Unix(seconds+1, 0)
			case "lt]":
				f.Until = time.Unix(seconds, 0)
			case "lte]":
				f.Until = time.Unix(seconds+1, 0)
			default:
				return false, nil
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		if c.Query("order") == "" {
			q.Desc = true
		}
		for _, cursor := range []*string{&q.After, &q.Before} {
			*cursor = strings.TrimPrefix(*cursor, recordID)
		}
		found, err := h.Reports.Log(r, r.who, r.org, by, f, q)
		if err != nil {
			return err
		}
		return sendList(r, found, recordOf)
	})
}

func one(name string) error {
	return fault.Invalidf(name, "out_of_range", "%s takes one value here.", name)
}

// actionOf reads a type in OpenAI's words or in ours.
func actionOf(event string) audit.Action {
	for action, t := range types {
		if t == event {
			return action
		}
	}
	return audit.Action(event)
}

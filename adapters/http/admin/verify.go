package admin

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// checkpoint is what was signed of the log.
type checkpoint struct {
	Object string    `json:"object"`
	Number uint64    `json:"number"`
	Size   uint64    `json:"size"`
	Root   string    `json:"root"`
	At     time.Time `json:"at"`
	Note   string    `json:"note"`
}

// Checkpoints answers GET /api/v1/platform/audit/checkpoints, the oldest first. The
// cursor is a checkpoint's number.
func (h *Handler) Checkpoints(c *fiber.Ctx) error {
	q, err := rest.Query(c, "", nil)
	if err != nil {
		return err
	}
	if q.Before != "" || q.Desc {
		return fault.Invalidf("", "unsupported_value", "Checkpoints are listed from the oldest on.").WithHint("This list takes limit and after.")
	}
	after := uint64(0)
	if q.After != "" {
		if after, err = strconv.ParseUint(q.After, 10, 63); err != nil {
			return fault.Invalidf("after", "invalid_cursor", "The cursor names nothing in this list.")
		}
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, err := h.Admin.Checkpoints(ctx, caller(c), after, q.Limit)
	if err != nil {
		return err
	}
	return sendList(c, found, func(p audit.Checkpoint) (string, any) {
		return strconv.FormatUint(p.Number, 10), checkpoint{"audit_checkpoint", p.Number, p.Size, hex.EncodeToString(p.Root[:]), p.At.UTC(), p.Note}
	})
}

// verifyWithin is how long a verification may take.
const verifyWithin = 30 * time.Second

// verdict is what a verification has found, as the command says it.
type verdict struct {
	Object string `json:"object"`
	trail.Answer
	More bool `json:"has_more"` // entries behind the last that were not looked at
}

// Verify answers POST /api/v1/platform/audit/verify. The body chooses the entries
// behind after, at most most of them.
func (h *Handler) Verify(c *fiber.Ctx) error {
	p := trail.Part{Most: admin.MaxVerified}
	if err := rest.Body(c, rest.Members{"after": whole("after", 0, 1<<62, &p.After), "most": whole("most", 1, admin.MaxVerified, &p.Most)}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(request.Of(c).Within(h.Base), verifyWithin)
	defer cancel()
	v, more, err := h.Admin.VerifyLog(ctx, caller(c), p)
	if err != nil {
		return err
	}
	return rest.Send(c, verdict{"audit_verification", trail.Shown(v), more})
}

// whole reads an integer from least to most.
func whole(name string, least, most uint64, to *uint64) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		text, err := r.Value()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil {
			return fault.Invalidf(name, "invalid_type", "%s must be a whole number.", name)
		}
		if n < least || n > most {
			return fault.Invalidf(name, "out_of_range", "%s must be from %d to %d.", name, least, most)
		}
		*to = n
		return nil
	}
}

// checked is a verification by the server itself.
type checked struct {
	At time.Time `json:"at"`
	trail.Answer
}

// Verified answers GET /api/v1/platform/audit/verify: what this server has found by
// itself, of what came since its start and of the whole log. Null is what it has not
// done, as where it is another server's turn.
func (h *Handler) Verified(c *fiber.Ctx) error {
	if err := rest.NoQuery(c); err != nil {
		return err
	}
	known, key, err := h.Admin.Verified(caller(c))
	if err != nil {
		return err
	}
	show := func(c trail.Checked) *checked {
		if c.At.IsZero() {
			return nil
		}
		return &checked{c.At.UTC(), trail.Shown(c.Verdict)}
	}
	return rest.Send(c, struct {
		Object string   `json:"object"`
		OK     bool     `json:"ok"`
		Key    string   `json:"key"`
		Recent *checked `json:"recent"`
		Whole  *checked `json:"whole"`
	}{"audit_state", known.Finding() == nil, key.String(), show(known.Recent), show(known.Whole)})
}

// ExportLog answers GET /api/v1/platform/audit/export and
// GET /api/v1/orgs/{org}/audit/export: one JSON object to a line, as
// agentapi audit verify --export takes it.
func (h *Handler) ExportLog(c *fiber.Ctx) error {
	in, err := realm(c)
	if err != nil {
		return err
	}
	if err := rest.NoQuery(c); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	lines, err := h.Admin.ExportLog(ctx, caller(c), in)
	if err != nil {
		return err
	}
	return rest.Stream(c, "application/x-ndjson", "audit.jsonl", h.Stall, lines(request.Of(c).Within(h.Base)))
}

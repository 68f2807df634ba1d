package request

import (
	"errors"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/jsontext"
)

// IsJSON tells whether the body says that it is JSON in UTF-8 as it stands, by
// the type application/json or another one that the route takes. A body that says
// nothing is taken at its word.
func IsJSON(c *fiber.Ctx, others ...string) bool {
	if enc := Peek(c, "Content-Encoding"); len(enc) > 0 && !strings.EqualFold(string(enc), "identity") {
		return false
	}
	said := c.Request().Header.ContentType()
	if string(said) == "application/json" {
		return true
	}
	mime, params, _ := strings.Cut(string(said), ";")
	mime = strings.TrimSpace(mime)
	is := func(t string) bool { return strings.EqualFold(mime, t) }
	if !is("") && !is("application/json") && !slices.ContainsFunc(others, is) {
		return false
	}
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "charset") && !strings.EqualFold(strings.Trim(value, `"`), "utf-8") {
			return false
		}
	}
	return true
}

// IdempotencyKey reads the request's Idempotency-Key; empty where it has none.
func IdempotencyKey(c *fiber.Ctx) (string, error) {
	all := c.Request().Header.PeekAll("Idempotency-Key")
	switch len(all) {
	case 0:
		return "", nil
	case 1:
		key := string(all[0])
		return key, idempotency.ValidKey(key)
	default:
		return "", fault.Invalidf("Idempotency-Key", "invalid_idempotency_key", "Send one Idempotency-Key, not %d.", len(all))
	}
}

// Syntax turns an error of the JSON reader into a fault; others pass.
func Syntax(err error) error {
	var s *jsontext.SyntaxError
	if !errors.As(err, &s) {
		return err
	}
	if s.Code == "duplicate_key" {
		return fault.Invalidf(s.Name, s.Code, "The request body has the key '%s' twice.", s.Name)
	}
	return fault.Invalidf("", s.Code, "We could not parse the JSON body of your request: %s at byte %d.", s.Reason, s.Offset)
}

package rest

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/jsontext"
)

// Members reads the value of each member that a body may have. A reader gets the
// JSON reader at the value.
type Members map[string]func(r *jsontext.Reader) error

// Body reads a JSON object with some of these members, and no others; no body is an
// empty one.
func Body(c *fiber.Ctx, takes Members) error {
	if !request.IsJSON(c) {
		return fiber.NewError(http.StatusUnsupportedMediaType)
	}
	text := c.Request().Body()
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("{}")
	}
	return ReadObject(text, takes)
}

// Patch reads a merge patch (RFC 7396).
func Patch(c *fiber.Ctx, takes Members) error {
	if !request.IsJSON(c, "application/merge-patch+json") {
		return fiber.NewError(http.StatusUnsupportedMediaType)
	}
	return ReadObject(c.Request().Body(), takes)
}

// ReadObject reads a JSON object with some of these members, and no others.
func ReadObject(text []byte, takes Members) error {
	r := jsontext.NewReader(text)
	if k := r.Kind(); k != 0 && k != '{' {
		if _, err := r.Value(); err != nil {
			return request.Syntax(err)
		}
		return fault.Invalidf("", "invalid_request", "The request body must be a JSON object.")
	}
	err := r.Object(func(name []byte) error {
		read, ok := takes[string(name)]
		if !ok {
			n := Clip(string(name))
			return fault.Invalidf(n, "unknown_parameter", "Unknown parameter: '%s'.", n).
				WithHint("The body takes " + strings.Join(slices.Sorted(maps.Keys(takes)), ", ") + ".")
		}
		return read(r)
	})
	if err == nil {
		err = r.End()
	}
	return request.Syntax(err)
}

// Text reads a string into to.
func Text[S ~string](name string, to *S) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		if r.Kind() != '"' {
			return WrongType(r, name, "a string")
		}
		text, err := r.String()
		*to = S(text)
		return err
	}
}

// Optional reads a string into to, which then is not nil; null is an empty one.
func Optional[S ~string](name string, to **S) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		*to = new(S)
		if r.Kind() == 'n' {
			return r.Null()
		}
		return Text(name, *to)(r)
	}
}

// Texts reads a list of strings; null is an empty one.
func Texts(name string, each func(text string) error) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		switch r.Kind() {
		case 'n':
			return r.Null()
		case '[':
		default:
			return WrongType(r, name, "a list of strings")
		}
		return r.Array(func(int) error {
			if r.Kind() != '"' {
				return WrongType(r, name, "a list of strings")
			}
			text, err := r.String()
			if err != nil {
				return err
			}
			return each(text)
		})
	}
}

// Integer reads an integer between two bounds into to.
func Integer(name string, low, high int, to *int) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		if k := r.Kind(); k != '-' && (k < '0' || k > '9') {
			return WrongType(r, name, "an integer")
		}
		text, err := r.Number()
		if err != nil {
			return err
		}
		if *to, err = strconv.Atoi(string(text)); err != nil || *to < low || *to > high {
			return fault.Invalidf(name, "out_of_range", "%s must be between %d and %d.", name, low, high)
		}
		return nil
	}
}

// Bool reads true or false into to; null is false.
func Bool(name string, to *bool) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) (err error) {
		switch r.Kind() {
		case 'n':
			*to = false
			return r.Null()
		case 't', 'f':
			*to, err = r.Bool()
			return err
		default:
			return WrongType(r, name, "true or false")
		}
	}
}

// Time reads a time; null is none.
func Time(name string, to *time.Time) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) (err error) {
		switch r.Kind() {
		case 'n':
			*to = time.Time{}
			return r.Null()
		case '"':
		default:
			return WrongType(r, name, "a time such as 2026-01-31T12:00:00Z, or null")
		}
		text, err := r.String()
		if err != nil {
			return err
		}
		if *to, err = time.Parse(time.RFC3339, text); err != nil {
			return fault.Invalidf(name, "invalid_type", "%s must be a time such as 2026-01-31T12:00:00Z (RFC 3339), or null.", name)
		}
		return nil
	}
}

// WrongType says so, unless no value is there at all.
func WrongType(r *jsontext.Reader, param, want string) error {
	if _, err := r.Value(); err != nil {
		return err
	}
	return fault.Invalidf(param, "invalid_type", "Invalid type for '%s': it must be %s.", param, want)
}

// Once reads what makes the request's repetition harmless, in the name of a route;
// a zero key: nothing does.
func Once(c *fiber.Ctx, route string) (key idempotency.Key, body [32]byte, err error) {
	text, err := request.IdempotencyKey(c)
	if err != nil || text == "" {
		return key, body, err
	}
	return idempotency.NewKey(route, text), idempotency.Fingerprint(c.Request().Body()), nil
}

// Clip shortens a name that a stranger chose.
func Clip(name string) string {
	const most = 64
	if utf8.RuneCountInString(name) <= most {
		return name
	}
	return string([]rune(name)[:most]) + "…"
}

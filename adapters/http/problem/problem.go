package problem

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// ended is the code of what an administrator has ended, which a client must not send
// again by itself.
const ended = "request_ended"

// Problem is a failure as a client sees it.
type Problem struct {
	Status     int
	Type       string
	Code       string // empty: null
	Param      string // empty: null
	Message    string
	Hint       string
	RetryAfter time.Duration // 0: not said
}

// From makes a Problem of any error: faults by the table, ended contexts as
// Canceled or Timeout, the HTTP library's errors by status, all else as
// Internal. Nothing of an unknown error's text is shown.
func From(err error) Problem {
	var lib *fiber.Error
	f := fault.As(err)
	switch {
	case f != nil:
	case errors.As(err, &lib):
		return Transport(lib.Code)
	case errors.Is(err, context.Canceled):
		f = fault.New(fault.Canceled, "The request was cancelled.")
	case errors.Is(err, context.DeadlineExceeded):
		f = fault.New(fault.Timeout, "The time for the request was up.")
	default:
		f = fault.Internalf("%w", err)
	}
	r := table[f.Kind]
	p := Problem{Status: r.status, Type: r.kind, Code: r.code, Param: f.Param, Message: f.Message, Hint: f.Hint, RetryAfter: f.RetryAfter}
	if f.Code != "" {
		p.Code = f.Code
	}
	if f.Type != "" {
		p.Type = f.Type
	}
	switch {
	case f.Kind == fault.Conflict && p.Code == "idempotency_in_progress":
		p.Type = idempotencyErr
	case f.Kind == fault.QuotaExhausted, p.Code == ended:
		p.RetryAfter = 0
	case (f.Kind == fault.RateLimited || f.Kind == fault.Unavailable) && p.RetryAfter <= 0:
		p.RetryAfter = time.Second
	}
	return p
}

// Transport makes the Problem of a status where HTTP itself was used wrongly.
func Transport(status int) Problem {
	t, known := transport[status]
	if !known {
		if status >= http.StatusInternalServerError {
			return From(fault.Internalf("the HTTP library answered %d", status))
		}
		t.code, t.message = "bad_request", "The request is not well-formed HTTP."
	}
	p := Problem{Status: status, Type: invalidRequest, Code: t.code, Message: t.message, Hint: hints[status]}
	return p
}

// AppendError appends the error object, {"message":…,"type":…,"param":…,"code":…}
// with our hint and the request's id where there are any.
func (p Problem) AppendError(b []byte, requestID string) []byte {
	b = append(b, `{"message":`...)
	b = jsontext.AppendString(b, p.Message)
	b = append(b, `,"type":`...)
	b = jsontext.AppendString(b, p.Type)
	b = append(b, `,"param":`...)
	b = orNull(b, p.Param)
	b = append(b, `,"code":`...)
	b = orNull(b, p.Code)
	if p.Hint != "" {
		b = append(b, `,"hint":`...)
		b = jsontext.AppendString(b, p.Hint)
	}
	if requestID != "" {
		b = append(b, `,"request_id":`...)
		b = jsontext.AppendString(b, requestID)
	}
	return append(b, '}')
}

// orNull appends s, or null where it is empty.
func orNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return jsontext.AppendString(b, s)
}

// Body renders OpenAI's error body.
func (p Problem) Body(requestID string) []byte {
	return append(p.AppendError([]byte(`{"error":`), requestID), '}')
}

// Detailed renders the body with both faces: OpenAI's error object and the
// members of RFC 9457.
func (p Problem) Detailed(requestID, instance string) []byte {
	b := p.AppendError([]byte(`{"error":`), requestID)
	b = append(b, `,"type":"about:blank","title":`...)
	b = jsontext.AppendString(b, http.StatusText(p.Status))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	b = append(b, `,"detail":`...)
	b = jsontext.AppendString(b, p.Message)
	b = append(b, `,"instance":`...)
	b = jsontext.AppendString(b, instance)
	return append(b, '}')
}

// Headers calls set for each header that the problem brings. Metadata is where it is
// told who gives credentials (RFC 9728, section 5.1); empty: that is not said.
func (p Problem) Headers(metadata string, set func(name, value string)) {
	if p.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="agentapi"`
		if metadata != "" {
			challenge += `, resource_metadata="` + metadata + `"`
		}
		if p.Code != "" {
			challenge += `, error="invalid_token"`
		}
		set("WWW-Authenticate", challenge)
	}
	if p.RetryAfter > 0 {
		seconds := max(1, int(math.Ceil(p.RetryAfter.Seconds())))
		set("Retry-After", strconv.Itoa(seconds))
		set("retry-after-ms", strconv.FormatInt(max(1, p.RetryAfter.Milliseconds()), 10))
	}
	if p.Type == quotaError || p.Code == ended {
		set("x-should-retry", "false")
	}
}

// Internal tells whether the cause belongs into the log at error level.
func (p Problem) Internal() bool { return p.Status >= http.StatusInternalServerError }

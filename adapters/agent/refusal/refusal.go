// Package refusal makes faults of what model APIs answer with an error status,
// whichever dialect they speak.
package refusal

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"agentapi/domain/fault"
)

// Answer is an answer with an error status.
type Answer struct {
	Status int
	Header func(name string) string // gives a header's value
	Body   []byte
	Hide   func(string) string // takes what is secret out of the upstream's words; nil: nothing is
}

// Fault makes the fault of an answer. Kinds: Invalid, TooLong, NotFound,
// TooLarge (the caller's fault, in the upstream's words); RateLimited, Upstream,
// Unavailable, Timeout.
func Fault(a Answer) *fault.Error {
	said := parse(a.Body).hidden(a.Hide)
	f := classify(a.Status, said)
	if after := min(retryAfter(a.Header), maxRetryAfter); after > 0 && (f.Kind == fault.RateLimited || f.Kind == fault.Unavailable) {
		f.RetryAfter = after
	}
	return f.WithCause(answered(strconv.Itoa(a.Status) + " " + said.message))
}

// InBand makes the fault of an error that came where an answer was due: body is
// an object with the error in it.
func InBand(body []byte, hide func(string) string) *fault.Error {
	said := parse(body).hidden(hide)
	f := fault.New(fault.Upstream, "The agent's upstream failed in the middle of its answer.").WithCode("upstream_error")
	switch {
	case said.code == "rate_limit_exceeded" || said.number == http.StatusTooManyRequests || said.kind == "rate_limit_error":
		f.Kind, f.Code = fault.RateLimited, "rate_limit_exceeded"
	case said.code == "context_length_exceeded":
		f.Kind, f.Code, f.Message = fault.TooLong, said.code, "The prompt is too long for the model."
	case said.kind == "overloaded_error":
		f.Kind, f.Code = fault.Unavailable, "agent_unavailable"
	}
	return f.WithCause(answered(said.code + " " + said.kind + " " + said.message))
}

// answered is the cause of a refusal, for the log.
type answered string

func (e answered) Error() string { return "the upstream answered " + string(e) }

// saying is what an error body says, in whichever shape.
type saying struct {
	message, kind, code, param string
	number                     int // a code that is a number, as a status
}

// hidden takes what is secret out of it, and bounds it.
func (s saying) hidden(hide func(string) string) saying {
	bound := func(t string, most int) string {
		if hide != nil {
			t = hide(t)
		}
		if len(t) > most {
			t = strings.ToValidUTF8(t[:most], "") + "…"
		}
		return t
	}
	return saying{bound(s.message, 500), bound(s.kind, 64), bound(s.code, 64), bound(s.param, 128), s.number}
}

// classify makes the fault of a status. What the upstream says is kept where it
// is about the request; what is about our account with it is not the caller's
// concern.
func classify(status int, said saying) *fault.Error {
	keep := func(k fault.Kind, fallback string) *fault.Error {
		f := fault.New(k, "%s", fallback)
		if said.message != "" {
			f.Message = said.message
		}
		f.Code, f.Param = said.code, said.param
		if known[said.kind] {
			f.Type = said.kind
		}
		return f
	}
	upstream := func(k fault.Kind, code, message string) *fault.Error {
		return fault.New(k, "%s", message).WithCode(code)
	}
	switch {
	case said.code == "context_length_exceeded" && status < 500:
		return keep(fault.TooLong, "The prompt is too long for the model.")
	case status == http.StatusNotFound:
		f := keep(fault.NotFound, "The model does not exist at the agent's upstream.")
		if f.Code == "" {
			f.Code = "model_not_found"
		}
		if f.Code != "model_not_found" || said.message == "" {
			return f.WithHint("Where none of its models answers, the operator of this server must check the agent's base_url, which mostly ends in /v1.")
		}
		return f
	case status == http.StatusRequestEntityTooLarge:
		return keep(fault.TooLarge, "The request is too large for the agent's upstream.")
	case status == http.StatusTooManyRequests && (said.code == "insufficient_quota" || said.kind == "insufficient_quota"):
		return upstream(fault.Unavailable, "agent_unavailable", "The agent's account with its provider is spent.")
	case status == http.StatusTooManyRequests:
		return keep(fault.RateLimited, "The agent's upstream is asked too much.")
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return upstream(fault.Upstream, "upstream_error", "The agent's upstream refused its credentials.").
			WithHint("The operator of this server must check the agent's api_key.")
	case status == http.StatusPaymentRequired:
		return upstream(fault.Unavailable, "agent_unavailable", "The agent's account with its provider is spent.")
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return upstream(fault.Timeout, "upstream_timeout", "The agent's upstream took too long.")
	case status == http.StatusServiceUnavailable, status == 529:
		return upstream(fault.Unavailable, "agent_unavailable", "The agent's upstream is overloaded or away.")
	case status >= 300 && status < 400:
		return upstream(fault.Upstream, "upstream_error", "The agent's upstream redirects, which is not followed.").
			WithHint("The operator of this server must correct the agent's base_url.")
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return keep(fault.Invalid, "The agent's upstream refused the request.")
	default:
		return upstream(fault.Upstream, "upstream_error", "The agent's upstream failed.")
	}
}

// known are OpenAI's error types for what callers do; others mean nothing to
// their clients.
var known = map[string]bool{"invalid_request_error": true, "requests": true, "tokens": true}

// maxRetryAfter bounds what an upstream can make callers wait.
const maxRetryAfter = time.Hour

// retryAfter reads when the upstream wants to be asked again.
func retryAfter(header func(string) string) time.Duration {
	if ms, err := strconv.ParseFloat(header("Retry-After-Ms"), 64); err == nil && ms > 0 && ms < 1e9 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	text := header("Retry-After")
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// parse reads an error body: OpenAI's, Anthropic's, Google's, a bare string or
// message. What is none of them, such as a page of HTML, says nothing.
func parse(body []byte) (s saying) {
	if !utf8.Valid(body) {
		return s
	}
	if list := ([]json.RawMessage)(nil); json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0] // Google wraps its errors in a list
	}
	var o map[string]json.RawMessage
	if json.Unmarshal(body, &o) != nil {
		return s
	}
	text := func(o map[string]json.RawMessage, names ...string) (t string) {
		for _, n := range names {
			if json.Unmarshal(o[n], &t) == nil && t != "" {
				return t
			}
		}
		return ""
	}
	if inner := map[string]json.RawMessage(nil); json.Unmarshal(o["error"], &inner) == nil && inner != nil {
		o = inner
	} else if t := text(o, "error"); t != "" {
		return saying{message: t}
	}
	s = saying{message: text(o, "message", "detail"), kind: text(o, "type", "status"), code: text(o, "code"), param: text(o, "param")}
	if json.Unmarshal(o["code"], &s.number) != nil {
		s.number, _ = strconv.Atoi(s.code) // most codes are words
	}
	return s
}

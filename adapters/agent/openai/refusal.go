package openai

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// refusal makes a fault of an answer with an error status.
func (a *Agent) refusal(x *exchange) error {
	body, err := x.all(1 << 20)
	if err != nil {
		body = nil // the status says enough
	}
	said := a.redacted(parseError(body))
	status := x.head.StatusCode()
	f := classify(status, said)
	if after := retryAfter(x); after > 0 && (f.Kind == fault.RateLimited || f.Kind == fault.Unavailable) {
		f.RetryAfter = after
	}
	return f.WithCause(answered(strconv.Itoa(status) + " " + said.message))
}

// answered is the cause of a refusal, for the log.
type answered string

func (e answered) Error() string { return "the upstream answered " + string(e) }

// saying is what an error body says, in whichever shape.
type saying struct{ message, kind, code, param string }

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
func retryAfter(x *exchange) time.Duration {
	return min(saysRetryAfter(x), maxRetryAfter)
}

func saysRetryAfter(x *exchange) time.Duration {
	if ms, err := strconv.ParseFloat(string(x.head.Peek("Retry-After-Ms")), 64); err == nil && ms > 0 && ms < 1e9 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	text := string(x.head.Peek("Retry-After"))
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// redacted takes what is secret out of all that the upstream says, and bounds it.
func (a *Agent) redacted(s saying) saying {
	return saying{message: a.redact(s.message, 500), kind: a.redact(s.kind, 64), code: a.redact(s.code, 64), param: a.redact(s.param, 128)}
}

func (a *Agent) redact(s string, most int) string {
	s = a.hidden.Replace(s)
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// parseError reads an error body: OpenAI's, Anthropic's, Google's, a bare string
// or message. What is none of them, such as a page of HTML, says nothing.
func parseError(body []byte) (s saying) {
	if !utf8.Valid(body) {
		return s
	}
	r := jsontext.NewReader(body)
	if r.Kind() == '[' { // Google wraps its errors in a list
		_ = r.Enter('[')
	}
	_ = walk(r, func(name string) error {
		switch {
		case name == "error" && r.Kind() == '{':
			return walk(r, func(name string) error { return s.field(r, name) })
		case name == "error" && r.Kind() == '"':
			return read(r, &s.message)
		default:
			return s.field(r, name)
		}
	})
	return s
}

func (s *saying) field(r *jsontext.Reader, name string) error {
	var into *string
	switch name {
	case "message", "detail":
		into = &s.message
	case "type", "status":
		into = &s.kind
	case "code":
		into = &s.code
	case "param":
		into = &s.param
	}
	if into != nil && r.Kind() == '"' {
		return read(r, into)
	}
	_, err := r.Value()
	return err
}

func read(r *jsontext.Reader, into *string) (err error) {
	*into, err = r.String()
	return err
}

// walk calls each for every member of the object that follows.
func walk(r *jsontext.Reader, each func(name string) error) error {
	if err := r.Enter('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, ok, err := r.Member(first)
		if !ok {
			return err
		}
		if err := each(string(name)); err != nil {
			return err
		}
	}
}

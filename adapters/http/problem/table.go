// Package problem is the one place where failures become HTTP answers.
package problem

import (
	"net/http"

	"agentapi/domain/fault"
)

// row is how a kind of fault looks to a client.
type row struct {
	status int
	kind   string // OpenAI's error type
	code   string // where the fault has none of its own; empty means null
}

// OpenAI's error types.
const (
	invalidRequest = "invalid_request_error"
	idempotencyErr = "idempotency_error"
	serverError    = "server_error"
	quotaError     = "insufficient_quota"
	requestsError  = "requests"
)

// statusClientClosed is nginx's status for a client that left; it only ever
// stands in logs.
const statusClientClosed = 499

var table = map[fault.Kind]row{
	fault.Invalid:         {http.StatusBadRequest, invalidRequest, "invalid_value"},
	fault.TooLong:         {http.StatusBadRequest, invalidRequest, "context_length_exceeded"},
	fault.Unsupported:     {http.StatusBadRequest, invalidRequest, "unsupported_parameter"},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, invalidRequest, "request_too_large"},
	fault.Unauthenticated: {http.StatusUnauthorized, invalidRequest, ""},
	fault.Forbidden:       {http.StatusForbidden, invalidRequest, "insufficient_permissions"},
	fault.NotFound:        {http.StatusNotFound, invalidRequest, "not_found"},
	fault.Conflict:        {http.StatusConflict, invalidRequest, "conflict"},
	fault.KeyReuse:        {http.StatusUnprocessableEntity, idempotencyErr, "idempotency_key_reuse"},
	fault.Precondition:    {http.StatusPreconditionFailed, invalidRequest, "precondition_failed"},
	fault.Gone:            {http.StatusGone, invalidRequest, "stream_expired"},
	fault.RateLimited:     {http.StatusTooManyRequests, requestsError, "rate_limit_exceeded"},
	fault.QuotaExhausted:  {http.StatusTooManyRequests, quotaError, "insufficient_quota"},
	fault.Canceled:        {statusClientClosed, serverError, "client_closed_request"},
	fault.Timeout:         {http.StatusGatewayTimeout, serverError, "upstream_timeout"},
	fault.Upstream:        {http.StatusBadGateway, serverError, "upstream_error"},
	fault.Unavailable:     {http.StatusServiceUnavailable, serverError, "agent_unavailable"},
	fault.Internal:        {http.StatusInternalServerError, serverError, "internal_error"},
}

// transport is what is said where HTTP itself was used wrongly, by status. The
// messages are ours: those of the HTTP library quote the request, credentials
// included.
var transport = map[int]struct{ code, message string }{
	http.StatusBadRequest:                  {"bad_request", "The request is not well-formed HTTP."},
	http.StatusNotFound:                    {"not_found", "Invalid URL."},
	http.StatusMethodNotAllowed:            {"method_not_allowed", "This method is not allowed here."},
	http.StatusNotAcceptable:               {"not_acceptable", "This server answers with JSON or server-sent events only."},
	http.StatusRequestTimeout:              {"request_timeout", "The request did not arrive in time."},
	http.StatusRequestEntityTooLarge:       {"request_too_large", "The request body is too large."},
	http.StatusRequestURITooLong:           {"uri_too_long", "The URL is too long."},
	http.StatusUnsupportedMediaType:        {"unsupported_media_type", "The request body must be JSON: send Content-Type: application/json, in UTF-8 and without Content-Encoding."},
	http.StatusExpectationFailed:           {"expectation_failed", "The Expect header cannot be met."},
	http.StatusMisdirectedRequest:          {"host_not_allowed", "This host name is not served here."},
	http.StatusPreconditionRequired:        {"precondition_required", "This request needs an If-Match header."},
	http.StatusRequestHeaderFieldsTooLarge: {"headers_too_large", "The request headers are too large."},
	http.StatusNotImplemented:              {"not_implemented", "This method is not implemented."},
	http.StatusHTTPVersionNotSupported:     {"http_version_not_supported", "Use HTTP/1.1."},
}

// hints say what to do about some of them.
var hints = map[int]string{
	http.StatusNotFound:           "OpenAI's routes are under /v1, such as POST /v1/chat/completions and GET /v1/models; ours under /api/v1.",
	http.StatusMethodNotAllowed:   "The Allow header lists the methods that are.",
	http.StatusMisdirectedRequest: "Whoever runs this server can add the name to server.allowed_hosts.",
}

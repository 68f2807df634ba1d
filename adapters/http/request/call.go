// Package request is what the handlers of this server know of the request at hand.
package request

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Call is one request on its way through the server. It outlives the handler
// where the answer is a stream, so it holds nothing of the HTTP library.
type Call struct {
	ID       string // ours: req_ and 32 hexadecimal digits
	ClientID string // the client's own id of it, for the log; may be empty
	Started  time.Time
	Method   string
	Path     string
	Route    string            // the pattern that the path matched; empty: none did
	Caller   tenancy.Principal // set once the caller is authenticated
	Org      tenancy.OrgID     // that it is about, where the path does not say so; zero: none

	Span ports.Span // the zero value: it is not traced

	// Model, Agent and Err are for the log.
	Model string
	Agent string
	Err   error

	finish func(*Call, int)
	kept   bool
}

// Local is where the HTTP library keeps the Call of a request.
const Local = "call"

// Begin makes the Call of a request. finish is told once, with the status, when
// the answer is sent as far as the server can tell.
func Begin(c *fiber.Ctx, now time.Time, finish func(*Call, int)) *Call {
	var random [16]byte
	rand.Read(random[:])
	var id [36]byte
	copy(id[:], "req_")
	hex.Encode(id[4:], random[:])
	call := &Call{ID: string(id[:]), Started: now, finish: finish}
	c.Locals(Local, call)
	return call
}

// Put sets a header whose name is written in its canonical form, which spares the
// library looking at each of its letters.
func Put(h *fasthttp.ResponseHeader, name, value string) {
	h.SetCanonical([]byte(name), []byte(value))
}

// PutInt sets a header like Put to a number.
func PutInt(h *fasthttp.ResponseHeader, name string, n int64) {
	var digits [20]byte
	h.SetCanonical([]byte(name), strconv.AppendInt(digits[:0], n, 10))
}

// Peek gives what a header has whose name is written in its canonical form, until the
// request is over; nil: it is not there.
func Peek(c *fiber.Ctx, name string) []byte {
	return c.Request().Header.PeekCanonical([]byte(name))
}

// Of gives the Call of a request that has begun.
func Of(c *fiber.Ctx) *Call { return c.Locals(Local).(*Call) }

// Within gives a context whose calls belong to the trace of the call.
func (c *Call) Within(ctx context.Context) context.Context {
	if c.Span.Within == nil {
		return ctx
	}
	return c.Span.Within(ctx)
}

// Keep leaves the end of the call to its answer's stream.
func (c *Call) Keep() { c.kept = true }

// Kept tells whether a stream will end the call.
func (c *Call) Kept() bool { return c.kept }

// End says that the answer is sent.
func (c *Call) End(status int) { c.finish(c, status) }

// ErrShutdown is the cause with which the server ends what still runs when its
// time to drain is over.
var ErrShutdown error = fault.New(fault.Unavailable, "The server is shutting down.").WithCode("shutting_down").WithRetryAfter(time.Second)

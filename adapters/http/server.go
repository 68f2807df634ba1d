// Package http is the server's face to its callers: OpenAI's dialect under /v1,
// our own API under /api/v1, and the health routes.
package http

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"agentapi/adapters/http/discovery"
	"agentapi/adapters/http/docs"
	"agentapi/adapters/http/openai"
	"agentapi/adapters/http/ops"
	"agentapi/adapters/http/problem"
	"agentapi/adapters/http/request"
	"agentapi/adapters/http/sessions"
	"agentapi/application/admin"
	"agentapi/application/operations"
	"agentapi/application/provision"
	"agentapi/application/reports"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Access authenticates callers, and has it recorded what they may not do and what
// they see of others.
type Access interface {
	Authenticate(ctx context.Context, bearer string, from tenancy.Origin) (tenancy.Principal, error)
	Denied(ctx context.Context, who tenancy.Principal, what tenancy.Permission, request string, err error) error
	Crossed(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, what tenancy.Permission, path, request string) error
}

// Meter counts requests. Its methods must not block.
type Meter interface {
	// Began says that a request came.
	Began()
	// Ended says what it came to; route is empty where it has none.
	Ended(method, route string, status int, took time.Duration, err error)
}

// Tracer begins the spans of requests; parent is what a request's traceparent has.
type Tracer interface {
	Begin(parent, method string) ports.Span
}

// Options configures the server.
type Options struct {
	Addr         string        // host:port; port 0 takes a free one
	AllowedHosts []string      // host names that are served; "*" for any
	MaxBody      int           // bytes of a request body
	DrainDelay   time.Duration // how long requests are still taken after Stop begins
	Drain        time.Duration // how long running answers then have
	Heartbeat    time.Duration // between comments in a silent stream
	Resumable    bool          // streams with a key run on for a while when their client is gone
	ReadTimeout  time.Duration // for a request's head and body to arrive
}

// Params is what a Server needs.
type Params struct {
	Options
	Access        Access
	Completer     openai.Completer
	Catalog       openai.Catalog
	Conversations sessions.Conversations
	Admin         *admin.Service
	Operations    *operations.Service
	Reports       *reports.Service
	Provision     *provision.Service
	Vitals        interface {
		ops.Vitals
		Drain()
	}
	Logins      []discovery.Login
	Description docs.Description
	Log         *zap.Logger
	Version     string
	Tracer      Tracer                 // nil: nothing is traced
	Meter       Meter                  // nil: nothing is counted
	Metrics     func() ([]byte, error) // what GET /metrics gives, as Prometheus reads it; nil: nothing
}

// Bounds that are not configured.
const (
	idleTimeout  = 2 * time.Minute // between requests of a connection
	stallTimeout = time.Minute     // for a client that takes nothing
	storageLimit = 2 * time.Second // for a question to the storage
	// for a provider's request, which may be about a group of ten thousand
	provisionLimit = 20 * time.Second
	headerBuffer   = 8 << 10         // a request's head must fit
	lastWords      = 3 * time.Second // for telling the streams that the server stops, and ending their agents, which takes 2 s
)

// Server serves HTTP. Start and Stop may be called once each.
type Server struct {
	p        Params
	app      *fiber.App
	table    []Route
	base     context.Context // of all requests
	end      context.CancelCauseFunc
	hurry    chan struct{} // closed when running answers are not waited for any more
	leaving  atomic.Bool   // every answer asks its client to come back on a connection of another server
	draining atomic.Bool   // requests that still come are refused
	listener net.Listener
	served   chan error
}

// New makes a Server; Start listens.
func New(p Params) *Server {
	s := &Server{p: p, served: make(chan error, 1), hurry: make(chan struct{})}
	s.base, s.end = context.WithCancelCause(context.Background())
	s.app = fiber.New(fiber.Config{
		Immutable:     true, // strings that outlive their request must not alias its buffers
		CaseSensitive: true, StrictRouting: true, DisableStartupMessage: true,
		BodyLimit: p.MaxBody, ReadBufferSize: headerBuffer,
		ReduceMemoryUsage: true, // nothing to read into while a connection waits, or its answer streams
		ReadTimeout:       p.ReadTimeout, WriteTimeout: stallTimeout, IdleTimeout: idleTimeout,
		DisablePreParseMultipartForm: true,
		ErrorHandler:                 s.fail,
	})
	lib := s.app.Server()
	lib.SecureErrorLogMessage = true
	lib.NoDefaultServerHeader = true
	lib.CloseOnShutdown = true
	lib.LazyRequestTime = true // nobody asks for it
	lib.ExpectHandler = s.expect
	lib.Logger = quiet{}
	route := s.app.Handler()
	lib.Handler = func(ctx *fasthttp.RequestCtx) {
		if known(string(ctx.Method())) {
			route(ctx)
			return
		}
		// The router answers a method that it does not know by itself, and not in our form.
		c := s.app.AcquireCtx(ctx)
		defer s.app.ReleaseCtx(c)
		_ = s.fail(c, fiber.NewError(http.StatusNotImplemented)) // it never fails
	}
	s.routes()
	return s
}

// known tells whether the router knows a method.
func known(method string) bool { return slices.Contains(fiber.DefaultMethods, method) }

// quiet drops what the HTTP library would log: it quotes requests.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// Start listens and serves in the background.
func (s *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.p.Addr)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "Cannot listen on %s.", s.p.Addr).
			WithHint("Stop what listens there, or choose another port with AGENTAPI_PORT.")
	}
	s.listener = l
	go func() { s.served <- s.app.Listener(counting{l}) }()
	return nil
}

// Addr is where the server listens, once it has started.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Stop drains: readiness goes off at once, and every answer from then on closes
// its connection. For DrainDelay requests are still taken, then running answers
// have Drain to finish, and what still runs is told that the server stops. It returns when all connections are done, or when ctx
// ends, which cuts them.
func (s *Server) Stop(ctx context.Context) error {
	s.p.Vitals.Drain()
	s.leaving.Store(true)
	if s.listener == nil {
		return nil
	}
	s.wait(ctx, s.p.DrainDelay)
	s.draining.Store(true)
	// It has a context of its own: what runs must hear why it ends, however ctx does.
	shutdown, cut := context.WithCancel(context.Background())
	defer cut()
	drained := make(chan error, 1)
	go func() { drained <- s.app.ShutdownWithContext(shutdown) }()
	timer := time.NewTimer(s.p.Drain)
	defer timer.Stop()
	select {
	case err := <-drained:
		s.end(request.ErrShutdown)
		return err
	case <-timer.C:
	case <-s.hurry:
	case <-ctx.Done():
	}
	s.end(request.ErrShutdown)
	last := lastWords + s.p.Drain/10
	select {
	case <-s.hurry:
		last = lastWords
	default:
	}
	select {
	case err := <-drained:
		return err
	case <-time.After(last):
	}
	return errors.New("some connections did not end in time")
}

// Hurry has Stop wait no more for answers that run; each is told that the server stops.
// It may be called once.
func (s *Server) Hurry() { close(s.hurry) }

func (s *Server) wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.hurry:
	case <-ctx.Done():
	}
}

// fail is the one way in which errors become answers.
func (s *Server) fail(c *fiber.Ctx, err error) error {
	call, _ := c.Locals(request.Local).(*request.Call)
	if call == nil { // the library could not even read the request
		call = s.begin(c)
		s.count()
		c.Context().SetConnectionClose()
		defer func() { call.End(c.Response().StatusCode()) }()
	}
	call.Err = err
	p := problem.From(err)
	resp := c.Response()
	resp.ResetBody()
	resp.SetStatusCode(p.Status)
	p.Headers(resp.Header.Set)
	if isOurs(call.Path) {
		resp.Header.SetContentType("application/problem+json")
		resp.SetBodyRaw(p.Detailed(call.ID, call.Path))
		return nil
	}
	if isSCIM(call.Path) {
		resp.Header.SetContentType("application/scim+json")
		resp.SetBodyRaw(p.SCIM())
		return nil
	}
	resp.Header.SetContentType("application/json")
	resp.SetBodyRaw(p.Body(call.ID))
	return nil
}

// expect decides about a request that asks before it sends its body: one that
// would be refused is refused now.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	c := s.app.AcquireCtx(ctx)
	defer s.app.ReleaseCtx(c)
	call := s.begin(c)
	err := s.strict(c)
	if err == nil && needsCredential(call.Path) {
		err = s.authenticate(c)
	}
	if err == nil {
		return http.StatusContinue
	}
	s.count()
	if err := s.fail(c, err); err != nil {
		return http.StatusInternalServerError
	}
	call.End(c.Response().StatusCode())
	return c.Response().StatusCode()
}

// begin gives a request its id and the headers that every answer has.
func (s *Server) begin(c *fiber.Ctx) *request.Call {
	call := request.Begin(c, time.Now(), s.finish)
	call.Method = c.Method()
	call.Path = c.Path()
	call.ClientID = clientID(c)
	resp := &c.Response().Header
	request.Put(resp, "X-Request-Id", call.ID)
	request.Put(resp, "Openai-Version", "2020-10-01")
	return call
}

// clientID is the client's own id of its request, if it is fit for a log.
func clientID(c *fiber.Ctx) string {
	for _, name := range [...]string{"X-Client-Request-Id", "X-Request-Id"} {
		v := request.Peek(c, name)
		if len(v) == 0 || len(v) > 128 {
			continue
		}
		ok := true
		for _, b := range v {
			ok = ok && (b == '-' || b == '_' || b == '.' || (b >= '0' && b <= '9') || (b|0x20 >= 'a' && b|0x20 <= 'z'))
		}
		if ok {
			return string(v)
		}
	}
	return ""
}

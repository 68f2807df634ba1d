// Package redis keeps what is shared and short-lived in Redis: plain, with TLS, in a
// cluster, Upstash's.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/redis/rueidis"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// Options configures a Client.
type Options struct {
	URL       string        `yaml:"url" secret:"true" doc:"redis://user:password@host:port/db, rediss:// with TLS, with &addr=host:port for each further node of a cluster; REDIS_URL"`
	RESTURL   string        `yaml:"rest_url" doc:"Upstash's address, https://name.upstash.io, in the place of url; UPSTASH_REDIS_REST_URL"`
	RESTToken string        `yaml:"rest_token" secret:"true" doc:"Upstash's token, which is the database's password, too; UPSTASH_REDIS_REST_TOKEN"`
	Prefix    string        `yaml:"prefix" doc:"what all keys begin with; deployments that share a database need different ones"`
	Timeout   time.Duration `yaml:"timeout" doc:"for one call"`
}

// SetDefaults fills in what a configuration may leave out.
func (o *Options) SetDefaults() { o.Prefix, o.Timeout = "agentapi:", 150*time.Millisecond }

// Validate refuses options that make no sense.
func (o *Options) Validate() error {
	switch {
	case o.URL == "" && o.RESTURL == "":
		return fault.Invalidf("url", "missing_required_parameter", "url is missing").WithHint("Set REDIS_URL, or UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN.")
	case o.URL != "" && o.RESTURL != "":
		return fault.Invalidf("rest_url", "invalid_value", "url and rest_url are two databases: name one")
	case o.RESTURL != "" && o.RESTToken == "":
		return fault.Invalidf("rest_token", "missing_required_parameter", "rest_url takes rest_token, too")
	case o.Timeout <= 0 || o.Timeout > 2*time.Second:
		return fault.Invalidf("timeout", "out_of_range", "timeout must be between 1ms and 2s: who waits for Redis waits with a request")
	case strings.ContainsAny(o.Prefix, "{}"):
		return fault.Invalidf("prefix", "invalid_value", "prefix must not have braces, which say where a cluster keeps a key")
	}
	_, err := o.client()
	return err
}

// client gives what the library needs.
func (o *Options) client() (rueidis.ClientOption, error) {
	address, param := o.URL, "url"
	if o.RESTURL != "" {
		param = "rest_url"
		u, err := url.Parse(o.RESTURL)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" {
			return rueidis.ClientOption{}, fault.Invalidf(param, "invalid_value", "rest_url must be https://name.upstash.io, as Upstash shows it")
		}
		// The token is the password of the database, which listens at the same name.
		address = (&url.URL{Scheme: "rediss", User: url.UserPassword("default", o.RESTToken), Host: net.JoinHostPort(u.Hostname(), "6379")}).String()
	}
	c, err := rueidis.ParseURL(address)
	if err != nil { // whose text may quote the password
		return rueidis.ClientOption{}, fault.Invalidf(param, "invalid_value", "%s is no address of a Redis: redis://user:password@host:port/db, or rediss:// for TLS", param)
	}
	c.ClientName = "agentapi"
	c.DisableCache = true // no server must know CLIENT TRACKING
	c.DisableRetry = true // who calls goes on without it instead
	c.Dialer.Timeout = dialTimeout
	c.ConnWriteTimeout = dialTimeout
	return c, nil
}

// Bounds that are not configured.
const (
	dialTimeout = time.Second // for connecting, and until a connection that says nothing is given up
	failures    = 3           // in a row, after which Redis is let alone
	letAlone    = time.Second // for this long; then one call tries
)

// Client speaks to one Redis. It connects when it is needed, and again after an
// outage; while Redis is away calls fail at once, but for one each second. It is safe
// for concurrent use.
type Client struct {
	o       rueidis.ClientOption
	prefix  string
	timeout time.Duration
	breaker circuitbreaker.CircuitBreaker[any]

	told  func(away bool, err error) // nil: nobody
	watch ports.Watch                // nil: nobody
	dials dials

	mu     sync.Mutex
	conn   rueidis.Client // nil: not yet connected
	closed bool
}

// Connect makes a Client. It does not wait for Redis.
func Connect(o Options) (*Client, error) {
	c, err := o.client()
	if err != nil {
		return nil, err
	}
	out := &Client{o: c, prefix: o.Prefix, timeout: o.Timeout}
	out.dials.count(&out.o)
	out.breaker = circuitbreaker.NewBuilder[any]().WithFailureThreshold(failures).WithDelay(letAlone).
		OnOpen(func(circuitbreaker.StateChangedEvent) { out.tell(true) }).
		OnClose(func(circuitbreaker.StateChangedEvent) { out.tell(false) }).Build()
	return out, nil
}

// Watch has told be called when Redis is let alone because it keeps failing, and when
// it is well again; it may be called more than once for the same. told must not block.
// It is called once, before the first call.
func (c *Client) Watch(told func(away bool, err error)) { c.told = told }

// Observe has a watch told of all calls. It is called once, before the first.
func (c *Client) Observe(w ports.Watch) { c.watch = w }

func (c *Client) tell(away bool) {
	if c.told == nil {
		return
	}
	var err error
	if away {
		err = errors.New("redis does not answer as it should")
	}
	c.told(away, err)
}

// Probe tells whether Redis lets us write, and what to mend where it does not.
func (c *Client) Probe(ctx context.Context) error {
	err := c.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		return conn.Do(ctx, conn.B().Del().Key(c.prefix+"probe").Build()).Error() // who may only read may not do this either, and it leaves nothing
	})
	if f := fault.As(err); f != nil {
		return f.WithHint(fmt.Sprintf("See that Redis listens at %s, with TLS where the address is rediss://, takes the user and password, and lets that user write: %v", c.o.InitAddress[0], errors.Unwrap(f)))
	}
	return err
}

// Stop ends the connections.
func (c *Client) Stop(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	return nil
}

// dial gives the connections, made now where there are none.
func (c *Client) dial() (rueidis.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New("the client is closed")
	}
	if c.conn != nil {
		return c.conn, nil
	}
	conn, err := rueidis.NewClient(c.o)
	if err == nil {
		c.conn = conn
	}
	return conn, err
}

// do runs one exchange, in the time for a call.
func (c *Client) do(ctx context.Context, exchange func(context.Context, rueidis.Client) error) error {
	return c.watched(ctx, func(ctx context.Context) error { return c.call(ctx, exchange) })
}

// watched makes a call of which the watch is told.
func (c *Client) watched(ctx context.Context, call func(context.Context) error) error {
	if c.watch == nil {
		return call(ctx)
	}
	ctx, done := c.watch(ctx, "call")
	err := call(ctx)
	done(err)
	return err
}

func (c *Client) call(ctx context.Context, exchange func(context.Context, rueidis.Client) error) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if !c.breaker.TryAcquirePermit() {
		return away(errors.New("it failed lately and is let alone"))
	}
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.dial()
	if err == nil {
		err = exchange(within, conn)
	}
	if ctx.Err() != nil { // which says nothing of Redis, unless it took all of its time
		c.breaker.RecordSuccess()
		return ended(ctx)
	}
	switch said, isRedis := rueidis.IsRedisErr(err); {
	case err == nil || rueidis.IsRedisNil(err):
		c.breaker.RecordSuccess()
		return nil
	case isRedis && !busy(said.Error()):
		c.breaker.RecordSuccess() // it answered, if not as wished
		return away(err)
	default:
		c.breaker.RecordFailure()
		return away(err)
	}
}

// busy tells whether an error means that Redis cannot work at all for now.
func busy(said string) bool {
	for _, word := range []string{"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "OOM", "NOAUTH", "WRONGPASS", "MISCONF"} {
		if strings.HasPrefix(said, word) {
			return true
		}
	}
	return false
}

func away(err error) error {
	return fault.Wrap(fault.Unavailable, fmt.Errorf("redis: %w", err), "Redis does not answer as it should.").WithCode("cache_unavailable")
}

// ended is the fault of a context that has ended.
func ended(ctx context.Context) error {
	switch ctx.Err() {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return fault.Wrap(fault.Timeout, ctx.Err(), "The time for the cache was up.")
	default:
		return fault.Wrap(fault.Canceled, ctx.Err(), "The request was cancelled.")
	}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

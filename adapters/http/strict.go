package http

import (
	"bytes"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// The bounds of a request's head and of what chunked coding may add to a body.
const (
	maxHeaders  = 100
	maxOverhead = 16 << 10
)

// strict refuses what the HTTP library takes though HTTP forbids it, or though
// another server on the way may read it differently: that is how requests are
// smuggled.
func (s *Server) strict(c *fiber.Ctx) error {
	h := &c.Context().Request.Header
	switch string(h.Protocol()) {
	case "HTTP/1.1", "HTTP/1.0":
	default:
		return fiber.NewError(http.StatusHTTPVersionNotSupported)
	}
	if target := h.RequestURI(); len(target) == 0 || target[0] != '/' {
		return fiber.ErrBadRequest
	}
	if string(h.Method()) == http.MethodTrace || string(h.Method()) == http.MethodConnect {
		return fiber.NewError(http.StatusMethodNotAllowed)
	}
	var (
		length, coding, n int
		single            [len(once)]int
	)
	for line := range bytes.Lines(h.RawHeaders()) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			return fiber.ErrBadRequest // a folded line
		}
		if n++; n > maxHeaders {
			return fiber.NewError(http.StatusRequestHeaderFieldsTooLarge)
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return fiber.ErrBadRequest
		}
		switch {
		case len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
			length++
		case len(name) == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			coding++
			if !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
				return fiber.ErrBadRequest
			}
		case len(name) == len("Expect") && bytes.EqualFold(name, []byte("Expect")):
			if !bytes.EqualFold(bytes.TrimSpace(value), []byte("100-continue")) {
				return fiber.NewError(http.StatusExpectationFailed)
			}
		default:
			for i, o := range once {
				if len(o) == len(name) && bytes.EqualFold(name, []byte(o)) {
					single[i]++
				}
			}
		}
	}
	if length+coding > 1 || (coding > 0 && string(h.Protocol()) == "HTTP/1.0") {
		return fiber.ErrBadRequest
	}
	if slices.Max(single[:]) > 1 {
		return fiber.ErrBadRequest
	}
	if overhead(c) > maxOverhead && coding > 0 {
		return fiber.NewError(http.StatusRequestEntityTooLarge)
	}
	return nil
}

// once are the headers that may come once only, besides those that frame the body.
var once = [...]string{"Host", "Content-Type", "Content-Encoding", "X-Session-Id", "X-OpenWebUI-Chat-Id"}

// overhead is how much of a chunked request was neither head nor body: what
// hides in chunk extensions.
func overhead(c *fiber.Ctx) int {
	conn, ok := c.Context().Conn().(*countingConn)
	if !ok {
		return 0
	}
	defer func() { conn.read = 0 }()
	chunks := len(c.Request().Body())/8 + 1 // a byte a chunk would be odd; eight are allowed for
	return conn.read - len(c.Context().Request.Header.RawHeaders()) - len(c.Request().Body()) - 8*chunks
}

// servesHost holds the Host header against the allow-list, so that a page of
// another site whose name was rebound to this address gets nothing.
func (s *Server) servesHost(c *fiber.Ctx) bool {
	host := string(c.Context().Host())
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	return slices.ContainsFunc(s.p.AllowedHosts, func(allowed string) bool {
		return allowed == "*" || strings.EqualFold(strings.Trim(allowed, "[]"), host)
	})
}

package rest

import (
	"io"
	"iter"
	"net"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/domain/fault"
)

// NoQuery refuses all query parameters.
func NoQuery(c *fiber.Ctx) error {
	if c.Request().URI().QueryArgs().Len() > 0 {
		return fault.New(fault.Invalid, "Unknown query parameter.").WithCode("unknown_parameter").WithHint("This takes none.")
	}
	return nil
}

// Stream answers with a file in pieces, each of which is made when the one before is
// taken; stall is how long a write may make no progress. What fails before the first
// piece is an answer of its own. A later failure breaks the connection, so that nobody
// takes a part for the whole.
func Stream(c *fiber.Ctx, kind, name string, stall time.Duration, pieces iter.Seq2[[]byte, error]) error {
	if string(c.Request().Header.Protocol()) == "HTTP/1.0" {
		return fiber.NewError(http.StatusHTTPVersionNotSupported) // it has no chunks
	}
	s := &stream{conn: c.Context().Conn(), stall: stall, call: request.Of(c)}
	s.next, s.stop = iter.Pull2(pieces)
	if s.more(); s.err != nil {
		s.stop()
		return s.err
	}
	s.call.Keep()
	c.Response().Header.SetContentType(kind)
	c.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	c.Response().SetBodyStream(s, -1)
	return nil
}

// stream is an answer as the HTTP server reads it.
type stream struct {
	next  func() ([]byte, error, bool)
	stop  func()
	conn  net.Conn
	stall time.Duration
	call  *request.Call

	rest []byte // not yet read
	over bool
	err  error
}

var _ io.ReadCloser = (*stream)(nil)

// Read gives the next piece.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.over {
			return 0, io.EOF
		}
		if s.more(); s.err != nil {
			return 0, s.err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	// A connection that is gone says so at the write that follows.
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.stall))
	return n, nil
}

func (s *stream) more() {
	text, err, ok := s.next()
	s.rest, s.err, s.over = text, err, !ok
}

// Close ends the answer; the server calls it when it is written or cannot be.
func (s *stream) Close() error {
	s.stop()
	s.call.Err = s.err
	s.call.End(http.StatusOK)
	return nil
}

package sessions

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
)

// exported is how many turns of an export are in memory at once.
const exported = 20

// Export answers GET /api/v1/sessions/{id}/export: the session and all messages
// that it has at the moment, as one object.
func (h *Handler) Export(c *fiber.Ctx) error {
	id, err := named(c)
	if err != nil {
		return err
	}
	if string(c.Request().Header.Protocol()) == "HTTP/1.0" {
		return fiber.NewError(http.StatusHTTPVersionNotSupported) // it has no chunks
	}
	if c.Request().URI().QueryArgs().Len() > 0 {
		return fault.New(fault.Invalid, "Unknown query parameter.").WithCode("unknown_parameter").WithHint("An export takes none.")
	}
	call := request.Of(c)
	ctx, cancel := h.context(c)
	defer cancel()
	s, err := h.Conversations.Get(ctx, call.Caller, id)
	if err != nil {
		return err
	}
	head, err := json.Marshal(objectOf(s))
	if err != nil {
		return fault.Internalf("encoding a session: %w", err)
	}
	e := &export{
		left: s.Turns, conn: c.Context().Conn(), stall: h.Stall,
		next: func(after string) ([]session.Turn, error) {
			ctx, cancel := context.WithTimeout(call.Within(h.Base), h.Limit) // the handler has returned
			defer cancel()
			found, err := h.Conversations.Turns(ctx, call.Caller, id, page.Query{Limit: exported, After: after})
			return found.Items, err
		},
		end: func(err error) {
			call.Err = err
			call.End(http.StatusOK)
		},
	}
	e.rest = append(append([]byte(`{"object":"session.export","session":`), head...), `,"messages":[`...)
	if err := e.more(); err != nil { // while it can still be said
		return err
	}
	call.Keep()
	c.Response().Header.SetContentType("application/json")
	c.Set("Content-Disposition", `attachment; filename="`+id.String()+`.json"`)
	c.Response().SetBodyStream(e, -1)
	return nil
}

// export is the answer as the HTTP server reads it, page by page. A failure in
// the middle breaks the connection, so that nobody takes a part for the whole.
type export struct {
	next  func(after string) ([]session.Turn, error)
	end   func(err error)
	conn  net.Conn
	stall time.Duration // how long a write may make no progress

	rest  []byte // rendered and not yet read
	after string // the last turn that was rendered
	left  int    // turns that are to come
	begun bool
	over  bool
	err   error
}

var _ io.ReadCloser = (*export)(nil)

// Read gives the next piece.
func (e *export) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.over {
			return 0, io.EOF
		}
		if e.err = e.more(); e.err != nil {
			return 0, e.err
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	// A connection that is gone says so at the write that follows.
	_ = e.conn.SetWriteDeadline(time.Now().Add(e.stall))
	return n, nil
}

// more renders the next page, and the end after the last one.
func (e *export) more() error {
	if e.left > 0 {
		turns, err := e.next(e.after)
		if err != nil {
			return err
		}
		if len(turns) == 0 {
			return fault.Internalf("a session has fewer turns than it says")
		}
		turns = turns[:min(len(turns), e.left)] // those that came later are left out
		for _, t := range turns {
			m, err := messageOf(t)
			if err != nil {
				return err
			}
			text, err := json.Marshal(m)
			if err != nil {
				return fault.Internalf("encoding a message: %w", err)
			}
			if e.begun {
				e.rest = append(e.rest, ',')
			}
			e.rest, e.begun, e.after = append(e.rest, text...), true, m.ID
		}
		e.left -= len(turns)
	}
	if e.left == 0 {
		e.rest, e.over = append(e.rest, "]}\n"...), true
	}
	return nil
}

// Close ends the answer; the server calls it when it is written or cannot be.
func (e *export) Close() error {
	e.end(e.err)
	return nil
}

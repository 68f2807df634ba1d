// Package openai is OpenAI's HTTP dialect: chat completions and models.
package openai

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"agentapi/adapters/http/live"
	"agentapi/adapters/http/request"
	"agentapi/application/completion"
	"agentapi/application/limits"
	"agentapi/domain/fault"
	"agentapi/domain/session"
)

// Completer gives completions.
type Completer interface {
	Complete(ctx context.Context, cmd completion.Command) (*completion.Whole, error)
	Begin(ctx context.Context, cmd completion.Command) (*completion.Reply, error)
}

// Chat serves POST /v1/chat/completions.
type Chat struct {
	Completer Completer
	Base      context.Context // requests end with it
	Heartbeat time.Duration   // between comments in a stream that is silent
	Stall     time.Duration   // how long a client may take nothing of a stream
	Resumable bool            // streams with a key run on for a while when their client is gone
}

const chatRoute = "POST /v1/chat/completions"

// Serve answers one request.
func (h *Chat) Serve(c *fiber.Ctx) error {
	call := request.Of(c)
	if !request.IsJSON(c) {
		return fiber.NewError(http.StatusUnsupportedMediaType)
	}
	in, err := Decode(c.Request().SwapBody(nil))
	if err != nil {
		return err
	}
	cmd := completion.Command{Caller: call.Caller, Request: in.Request, RequestID: call.ID, Route: chatRoute}
	call.Model = clip(in.Request.Model)
	if cmd.Conversation, err = conversation(c, in.Session); err != nil {
		return err
	}
	if cmd.Key, err = request.IdempotencyKey(c); err != nil {
		return err
	}
	if in.Request.Stream && string(c.Request().Header.Protocol()) == "HTTP/1.0" {
		return fiber.NewError(http.StatusHTTPVersionNotSupported) // it has no chunks
	}
	var after int
	if cmd.Resume, after, err = h.lastEvent(c, cmd.Key, in.Request.Stream); err != nil {
		return err
	}
	cmd.Attempt = attempt(c)
	cmd.Standing = func(s limits.Standings) { standings(&c.Response().Header, s) }
	ctx, watch := live.Context(call.Within(h.Base), c.Context().Conn())
	if in.Request.Stream {
		return h.stream(c, call, ctx, watch, cmd, after)
	}
	defer watch.Stop()
	cmd.Stop = watch.End()
	w, err := h.Completer.Complete(ctx, cmd)
	if err != nil {
		return ended(ctx, err)
	}
	resp := c.Response()
	headers(&resp.Header, call, &w.Head)
	resp.Header.SetContentType("application/json")
	resp.SwapBody(appendWhole(resp.SwapBody(nil), w, in.Request.Functions)) // in a buffer that the library uses again
	return nil
}

func (h *Chat) stream(c *fiber.Ctx, call *request.Call, ctx context.Context, watch *live.Watch, cmd completion.Command, after int) error {
	reply, err := h.Completer.Begin(ctx, cmd)
	if err != nil {
		defer watch.Stop()
		return ended(ctx, err)
	}
	resp := c.Response()
	headers(&resp.Header, call, &reply.Head)
	resp.Header.SetContentType("text/event-stream; charset=utf-8")
	resp.Header.Set("Cache-Control", "no-cache")
	resp.Header.Set("X-Accel-Buffering", "no")
	enc := newEncoder(&reply.Head, cmd.Request, call.ID)
	if h.Resumable && cmd.Key != "" {
		enc.answer, enc.skip = reply.Head.ID, after
	}
	call.Keep()
	resp.SetBodyStream(&body{
		reply: reply, enc: enc, conn: c.Context().Conn(), ctx: ctx,
		beat: h.Heartbeat, stall: h.Stall, wrote: time.Now(), err: func(err error) { call.Err = err },
		end: func() {
			watch.Stop()
			call.End(http.StatusOK)
		},
	}, -1)
	return nil
}

// ended prefers the reason why a request's context ended to what its end
// caused.
func ended(ctx context.Context, err error) error {
	if cause := fault.As(context.Cause(ctx)); cause != nil {
		return cause
	}
	return err
}

// headers says where the answer comes from.
func headers(set *fasthttp.ResponseHeader, call *request.Call, head *completion.Head) {
	call.Agent = string(head.Agent)
	request.Put(set, "X-Agentapi-Agent", string(head.Agent))
	request.Put(set, "X-Agentapi-Model", headerText(head.Served))
	request.PutInt(set, "X-Agentapi-Attempts", int64(head.Attempts))
	request.Put(set, "X-Agentapi-Route", head.Route)
	request.Put(set, "X-Agentapi-Session-Id", head.Session.String())
	request.Put(set, "X-Agentapi-Session", string(head.How))
	if len(head.Ignored) > 0 {
		set.Set("X-Agentapi-Ignored-Params", strings.Join(head.Ignored, ", "))
	}
	if head.Replayed {
		set.Set("Idempotent-Replayed", "true")
	}
}

// headerText keeps what may stand in a header's value.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// attempt reads which attempt OpenAI's SDKs say that a request is, from 1 on; 0
// where they say nothing.
func attempt(c *fiber.Ctx) int {
	said := request.Peek(c, "X-Stainless-Retry-Count")
	if len(said) == 0 {
		return 0
	}
	n, err := strconv.Atoi(string(said))
	if err != nil || n < 0 {
		return 0
	}
	return n + 1
}

// conversation reads which stored conversation the request goes on with. The
// key may come in several places; they must agree.
func conversation(c *fiber.Ctx, inBody string) (completion.Conversation, error) {
	var (
		found  completion.Conversation
		source string
		value  string
	)
	for _, s := range []struct{ source, value string }{
		{"X-Session-Id", string(request.Peek(c, "X-Session-Id"))},
		{"metadata.session_id", inBody},
		{"X-OpenWebUI-Chat-Id", string(request.Peek(c, "X-Openwebui-Chat-Id"))},
	} {
		switch {
		case s.value == "" || s.value == value:
		case value != "":
			return found, fault.Invalidf(s.source, "invalid_value", "%s and %s name different conversations.", source, s.source)
		default:
			source, value = s.source, s.value
		}
	}
	if value == "" {
		return found, nil
	}
	if strings.HasPrefix(value, "sess_") {
		id, err := session.ParseID(value)
		if err != nil {
			return found, fault.Invalidf(source, "invalid_id", "%s begins like a session id, but is none.", source)
		}
		found.ID = id
		return found, nil
	}
	if !session.ValidKey(value) {
		return found, fault.Invalidf(source, "invalid_value", "%s may have at most %d characters, none of them a control character.", source, session.MaxKey)
	}
	found.Key = session.Key{Source: source, Value: value}
	return found, nil
}

package http

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"agentapi/adapters/http/problem"
	"agentapi/adapters/http/request"
	"agentapi/domain/fault"
)

// maxReason is how much of an error's text is logged.
const maxReason = 2048

// count counts a request in that finish will count out.
func (s *Server) count() {
	if s.p.Meter != nil {
		s.p.Meter.Began()
	}
}

// finish is told once of each request how it ended.
func (s *Server) finish(call *request.Call, status int) {
	came := status
	if call.Err != nil {
		came = max(status, problem.From(call.Err).Status) // a stream that failed after its 200
	}
	if call.Span.End != nil {
		call.Span.End(call.Route, came, call.Err)
	}
	if s.p.Meter != nil {
		s.p.Meter.Ended(call.Method, call.Route, came, time.Since(call.Started), call.Err)
	}
	s.log(call, status)
}

// log writes the one line of a request. Nothing in it is the client's text but
// the path's and the model's beginning, and what a refused credential says of
// itself, cut short; the encoder escapes it.
func (s *Server) log(call *request.Call, status int) {
	level := zapcore.InfoLevel
	var p problem.Problem
	if call.Err != nil {
		p = problem.From(call.Err)
		if status < p.Status {
			status = p.Status // a stream that failed after its 200
		}
		if p.Internal() && !fault.Is(call.Err, fault.Canceled) {
			level = zapcore.WarnLevel
		}
		if p.Code == "internal_error" {
			level = zapcore.ErrorLevel
		}
	}
	entry := s.p.Log.Check(level, "request")
	if entry == nil {
		return
	}
	space := fieldLists.Get().(*[]zap.Field)
	fields := append((*space)[:0],
		zap.String("request_id", call.ID), zap.String("method", clip(call.Method, 16)), zap.String("path", clip(call.Path, 128)),
		zap.Int("status", status), zap.Duration("took", time.Since(call.Started)))
	if call.Span.Trace != "" {
		fields = append(fields, zap.String("trace_id", call.Span.Trace), zap.String("span_id", call.Span.ID))
	}
	if call.ClientID != "" {
		fields = append(fields, zap.String("client_request_id", call.ClientID))
	}
	if call.Model != "" {
		fields = append(fields, zap.String("model", call.Model))
	}
	if call.Agent != "" {
		fields = append(fields, zap.String("agent", call.Agent))
	}
	if call.Err != nil {
		fields = append(fields, zap.String("code", p.Code))
		if refused := fault.Is(call.Err, fault.Unauthenticated) && errors.Unwrap(fault.As(call.Err)) != nil; p.Internal() || refused {
			fields = append(fields, zap.String("error", clip(call.Err.Error(), maxReason)))
		}
	}
	entry.Write(fields...)
	clear(fields)
	*space = fields
	fieldLists.Put(space)
}

// fieldLists are what lines are made of.
var fieldLists = sync.Pool{New: func() any { f := make([]zap.Field, 0, 12); return &f }}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

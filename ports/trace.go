package ports

import "context"

// Span is a request's part of a trace; the zero value is of none.
type Span struct {
	Trace string // the ids, in hexadecimal, for the log
	ID    string
	// Within gives a context whose calls belong to the span.
	Within func(context.Context) context.Context
	// End says what the request came to. It is called once.
	End func(route string, status int, err error)
}

type traceparent struct{}

// WithTraceparent gives a context whose calls to others belong to a trace: value is what
// W3C's header of that name has.
func WithTraceparent(ctx context.Context, value string) context.Context {
	return context.WithValue(ctx, traceparent{}, value)
}

// Traceparent is what calls to others say of the trace that they belong to; empty: they
// belong to none.
func Traceparent(ctx context.Context) string {
	value, _ := ctx.Value(traceparent{}).(string)
	return value
}

// Package fault is the one error type of the project.
//
// An error that crosses a ring is a *fault.Error: a Kind, which decides the
// HTTP status, a Code for programs, and a Message for people that is safe to
// show to any caller. What must not be shown (upstream text, file paths,
// SQL) goes into the wrapped cause, which only the log sees.
package fault

import (
	"errors"
	"strings"
	"time"
)

// Error is a failure with its class. Treat it as immutable once it is returned.
type Error struct {
	Kind       Kind
	Code       string        // for programs, e.g. model_not_found; empty means the kind's default
	Type       string        // OpenAI's error type where an upstream gave one that is kept; empty means the kind's default
	Param      string        // the request field that is wrong, as a path such as messages[0].role
	Message    string        // for people; shown to callers as it is
	Hint       string        // what to do about it; shown to callers
	RetryAfter time.Duration // when another try is worthwhile; 0 means not known
	cause      error
}

// Error gives the message and, for the log, the cause.
func (e *Error) Error() string {
	if e.cause != nil {
		return strings.TrimSuffix(e.Message, ".") + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// With returns a copy of e after change, for adding a code, a param or a hint at
// the place that knows it.
func (e *Error) With(change func(*Error)) *Error {
	c := *e
	change(&c)
	return &c
}

// WithCode returns a copy with the code for programs.
func (e *Error) WithCode(code string) *Error { return e.With(func(c *Error) { c.Code = code }) }

// WithParam returns a copy that names the request field at fault.
func (e *Error) WithParam(param string) *Error { return e.With(func(c *Error) { c.Param = param }) }

// WithHint returns a copy that says what to do.
func (e *Error) WithHint(hint string) *Error { return e.With(func(c *Error) { c.Hint = hint }) }

// WithRetryAfter returns a copy that says when another try is worthwhile.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	return e.With(func(c *Error) { c.RetryAfter = d })
}

// WithCause returns a copy that wraps cause, which is logged and never shown.
func (e *Error) WithCause(cause error) *Error { return e.With(func(c *Error) { c.cause = cause }) }

// As finds the *Error in err's chain, or nil.
func As(err error) *Error {
	e, _ := errors.AsType[*Error](err)
	return e
}

// KindOf gives the kind of err: that of the *Error in its chain, or Internal.
// KindOf(nil) is Internal too; ask about errors only.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return Internal
}

// Is tells whether err is a fault of kind k.
func Is(err error, k Kind) bool {
	e := As(err)
	return e != nil && e.Kind == k
}

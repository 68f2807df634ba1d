package fault

import "fmt"

// New makes a fault of kind k with a message that is safe to show.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault of kind k around cause; the message is shown, the cause only logged.
func Wrap(k Kind, cause error, format string, args ...any) *Error {
	return New(k, format, args...).WithCause(cause)
}

// Invalidf says that the field param of the request is wrong.
func Invalidf(param, code, format string, args ...any) *Error {
	return New(Invalid, format, args...).WithCode(code).WithParam(param)
}

// NotFoundf says that something is absent, or another tenant's.
func NotFoundf(code, format string, args ...any) *Error {
	return New(NotFound, format, args...).WithCode(code)
}

// Internalf reports a defect. Its text is for the log: callers are shown a
// generic message with an error id.
func Internalf(format string, args ...any) *Error {
	return Wrap(Internal, fmt.Errorf(format, args...), "The server had an error while processing your request.")
}

package completion

import (
	"context"

	"agentapi/domain/fault"
)

// alone listens where nobody else does, until the answer is complete or its time is up.
func (s *stream) alone() {
	ctx, cancel := context.WithTimeoutCause(s.all.quit, s.linger, fault.New(fault.Canceled, "The client has not come back."))
	defer cancel()
	s.attend(&seat{stream: s, ctx: ctx, lonely: true})
}

// attend listens to all of a stream, for those who do not do so here.
func (s *stream) attend(l *seat) {
	ctx := l.ctx
	l.unwatch = context.AfterFunc(ctx, func() { l.leave(context.Cause(ctx)) })
	defer l.close()
	select {
	case <-ctx.Done():
		return
	case <-s.begun:
	}
	if s.failed != nil || s.inner.Replayed {
		return
	}
	for {
		if _, _, ok := l.next(); !ok {
			return
		}
	}
}

// expired is why an answer cannot be resumed.
func expired() error {
	return fault.New(fault.Gone, "The answer was given up, since nobody came back for it in time. Send the request again without Last-Event-ID.").WithCode("stream_expired")
}

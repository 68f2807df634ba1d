package access

import "context"

// Topic is what the bulletin calls changes of somebody's standing.
const Topic = "standing"

// Forget has everybody's standing looked up anew, since somebody's has changed, and
// tells the other servers.
func (s *Service) Forget(ctx context.Context) {
	s.Hear()
	if s.Bulletin != nil {
		s.Bulletin.Publish(context.WithoutCancel(ctx), Topic) // whether or not the client stays
	}
}

// Hear has everybody's standing looked up anew, since somebody's may have changed.
func (s *Service) Hear() {
	s.cache.forget()
	select {
	case s.changed <- struct{}{}:
	default: // whoever takes it will look anyway
	}
}

// Changed gives one whenever somebody's standing may have changed since the last.
func (s *Service) Changed() <-chan struct{} { return s.changed }

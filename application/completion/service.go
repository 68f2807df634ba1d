package completion

import "context"

// Service gives completions. It is safe for concurrent use.
type Service struct{}

// Complete returns when the answer is complete and stored.
func (s *Service) Complete(ctx context.Context, cmd Command) (*Whole, error) { return nil, nil }

// Begin returns when the first content event of a streaming answer is there, or
// when no candidate could give one: until then a failing agent is replaced
// unseen. ctx must last as long as the reply; when it ends, so does the agent.
func (s *Service) Begin(ctx context.Context, cmd Command) (*Reply, error) { return nil, nil }

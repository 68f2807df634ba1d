package completion

import "sync"

// turnstile lets one run at a time into a session.
type turnstile struct {
	mu   sync.Mutex
	busy map[string]struct{}
}

func newTurnstile() *turnstile { return &turnstile{busy: make(map[string]struct{})} }

// enter takes the turn; it is false when somebody has it.
func (t *turnstile) enter(of string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, taken := t.busy[of]; taken {
		return false
	}
	t.busy[of] = struct{}{}
	return true
}

// leave gives the turn up.
func (t *turnstile) leave(of string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.busy, of)
}

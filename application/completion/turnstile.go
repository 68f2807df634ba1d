package completion

import "sync"

// turnstile lets one run at a time into a session.
type turnstile struct {
	mu   sync.Mutex
	busy map[string]struct{}
}

func newTurnstile() *turnstile { return &turnstile{busy: make(map[string]struct{})} }

// enter takes the turn; ok is false when somebody has it.
func (t *turnstile) enter(of string) (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, taken := t.busy[of]; taken {
		return nil, false
	}
	t.busy[of] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, of)
	}, true
}

package process

import "sync"

// ringSize is how much of a program's standard error is kept, from its end.
const ringSize = 64 << 10

// tailSize is how much of it goes into an error.
const tailSize = 2 << 10

// ring keeps the last bytes that were written to it.
type ring struct {
	mu  sync.Mutex
	buf []byte
}

// Write always succeeds.
func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = append(r.buf, p...)
	if over := len(r.buf) - ringSize; over > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[over:])]
	}
	return len(p), nil
}

func (r *ring) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.buf[max(0, len(r.buf)-tailSize):])
}

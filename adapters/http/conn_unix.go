//go:build unix

package http

import (
	"errors"
	"io"
	"syscall"
)

// wait waits until something has come, and takes it. Only then is there a buffer.
func (c *countingConn) wait() error {
	var n int
	var failed error
	err := c.raw.Read(func(fd uintptr) bool {
		c.come = blocks.Get().(*block)
		for {
			n, failed = syscall.Read(int(fd), c.come[:])
			if !errors.Is(failed, syscall.EINTR) {
				break
			}
		}
		if failed == nil && n > 0 {
			c.rest = c.come[:n]
			return true
		}
		blocks.Put(c.come)
		c.come = nil
		return !errors.Is(failed, syscall.EAGAIN)
	})
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case n == 0:
		return io.EOF
	default:
		return nil
	}
}

//go:build unix

package http

import (
	"errors"
	"io"
	"syscall"
)

// wait waits until something has come, and takes it. Only then is there a buffer.
func (c *countingConn) wait() error {
	if c.take == nil {
		c.take = c.took
	}
	if err := c.raw.Read(c.take); err != nil {
		return err
	}
	return c.failed
}

// took tries to take what has come, and tells whether waiting is over.
func (c *countingConn) took(fd uintptr) bool {
	var n int
	c.come = blocks.Get().(*block)
	for {
		n, c.failed = syscall.Read(int(fd), c.come[:])
		if !errors.Is(c.failed, syscall.EINTR) {
			break
		}
	}
	if c.failed == nil && n > 0 {
		c.rest = c.come[:n]
		return true
	}
	blocks.Put(c.come)
	c.come = nil
	if c.failed == nil {
		c.failed = io.EOF
	}
	return !errors.Is(c.failed, syscall.EAGAIN)
}

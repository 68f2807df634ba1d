//go:build !unix

package http

// wait takes nothing here: reading waits.
func (c *countingConn) wait() error { return nil }

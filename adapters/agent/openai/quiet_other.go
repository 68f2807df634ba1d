//go:build !unix

package openai

import "net"

// quiet cannot tell here; a request on a closed connection is sent again.
func quiet(net.Conn) bool { return true }

//go:build !unix

package openai

import "net"

// ear cannot tell here; a request on a closed connection is sent again.
type ear struct{}

func listen(net.Conn) *ear { return nil }

func (*ear) quiet() bool { return true }

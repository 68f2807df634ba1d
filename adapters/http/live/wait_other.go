//go:build !unix

package live

import "net"

// waitGone cannot tell here: the client's leaving is seen at the next write.
func waitGone(net.Conn) (gone, pending bool) { return false, false }

// hungUp never knows.
func hungUp(net.Conn) bool { return false }

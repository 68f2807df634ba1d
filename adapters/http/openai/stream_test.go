package openai

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestAClientMayTakeALongPieceSlowly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_ = server.(*net.TCPConn).SetWriteBuffer(32 << 10)
	_ = client.(*net.TCPConn).SetReadBuffer(32 << 10)
	go func() {
		for {
			if n, err := io.CopyN(io.Discard, client, 64<<10); n == 0 || err != nil {
				return
			}
			time.Sleep(30 * time.Millisecond)
		}
	}()
	b := &body{conn: server, stall: 400 * time.Millisecond}
	text, began := make([]byte, 2<<20), time.Now()
	if n, err := b.write(server, text); n != len(text) || err != nil {
		t.Errorf("%d were taken in %v: %v", n, time.Since(began), err)
	}
	if took := time.Since(began); took < b.stall {
		t.Fatalf("it took %v, which shows nothing", took)
	}
}

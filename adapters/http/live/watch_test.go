package live

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func ends(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Second):
		t.Fatal("the context lasts though the client has left")
	}
	if !errors.Is(context.Cause(ctx), errGone) {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
}

func TestTheContextEndsWhenTheClientCloses(t *testing.T) {
	client, server := pair(t)
	ctx, watch := Context(t.Context(), server)
	defer watch.Stop()
	client.Close()
	ends(t, ctx)
}

func TestTheContextEndsWhenTheClientResets(t *testing.T) {
	client, server := pair(t)
	ctx, watch := Context(t.Context(), server)
	defer watch.Stop()
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	ends(t, ctx)
}

func TestAConnectionIsAsItWasAfterTheWatch(t *testing.T) {
	client, server := pair(t)
	for _, pipelined := range []bool{false, true} {
		ctx, watch := Context(t.Context(), server)
		if pipelined {
			if _, err := client.Write([]byte("next")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * after) // the watcher is at work
		if ctx.Err() != nil {
			t.Fatal("the context ended though the client is there")
		}
		watch.Stop()
	}
	buf := make([]byte, 4)
	if n, err := server.Read(buf); err != nil || string(buf[:n]) != "next" {
		t.Errorf("got %q, %v", buf, err)
	}
}

func TestAShortRequestStartsNoWatcher(t *testing.T) {
	_, server := pair(t)
	ctx, watch := Context(t.Context(), server)
	watch.Stop()
	if ctx.Err() == nil {
		t.Error("the context outlives its request")
	}
}

func TestTheNextRequestIsWatchedLikeTheFirst(t *testing.T) {
	client, server := pair(t)
	for range 3 {
		_, watch := Context(t.Context(), server)
		watch.Stop()
	}
	ctx, watch := Context(t.Context(), server)
	defer watch.Stop()
	client.Close()
	ends(t, ctx)
}

func TestTheContextEndsWithItsParent(t *testing.T) {
	_, server := pair(t)
	cause := errors.New("shutdown")
	parent, cancel := context.WithCancelCause(t.Context())
	ctx, watch := Context(parent, server)
	defer watch.Stop()
	cancel(cause)
	<-ctx.Done()
	if context.Cause(ctx) != cause {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
}

func TestAClientIsWatchedBeyondTheDeadlineOfItsRequest(t *testing.T) {
	client, server := pair(t)
	if err := server.SetReadDeadline(time.Now().Add(2 * after)); err != nil {
		t.Fatal(err)
	}
	ctx, watch := Context(t.Context(), server)
	defer watch.Stop()
	time.Sleep(3 * after) // the deadline is over
	client.Close()
	ends(t, ctx)
}

func TestWhatAClientSendsMeanwhileHidesNothing(t *testing.T) {
	client, server := pair(t)
	ctx, watch := Context(t.Context(), server)
	if _, err := client.Write([]byte("\r\n")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * after) // the bytes are seen
	client.Close()
	ends(t, ctx)
	watch.Stop()
	other, waiting := pair(t)
	ctx, watch = Context(t.Context(), waiting)
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * after)
	watch.Stop() // joins the watcher, though the bytes are still there
	if errors.Is(context.Cause(ctx), errGone) {
		t.Error("a client that is there was taken for gone")
	}
}

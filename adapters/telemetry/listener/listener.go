// Package listener serves what is for operators alone, metrics and profiles, where
// callers of the API do not come.
package listener

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"agentapi/domain/fault"
)

// Params is what a Listener needs.
type Params struct {
	Addr    string
	Metrics http.Handler // nil: none are served
	Pprof   bool
}

// Listener serves on an address of its own. Start and Stop may be called once each.
type Listener struct {
	addr   string
	server *http.Server
	done   chan struct{}
}

// New makes a Listener, which serves nothing but what it is given.
func New(p Params) *Listener {
	mux := http.NewServeMux()
	if p.Metrics != nil {
		mux.Handle("GET /metrics", p.Metrics)
	}
	if p.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return &Listener{addr: p.Addr, done: make(chan struct{}), server: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}}
}

// Start listens. fault.Unavailable: it cannot.
func (l *Listener) Start(ctx context.Context) error {
	var lc net.ListenConfig
	at, err := lc.Listen(ctx, "tcp", l.addr)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "Cannot listen on %s.", l.addr).
			WithHint("Stop what listens there, or choose another address with telemetry.listen.")
	}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(at) // it ends by Stop
	}()
	return nil
}

// Stop ends what is served, also what takes long, such as a profile.
func (l *Listener) Stop(context.Context) error {
	err := l.server.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	<-l.done
	return err
}

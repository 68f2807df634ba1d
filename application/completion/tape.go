package completion

import (
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/ports"
)

// Tapes lets servers listen to answers that run on others: of each stream that may be
// resumed its server keeps a copy in the cache while it runs, and who is asked for it
// elsewhere plays that. What is lost of it is lost to them alone.
type Tapes struct {
	Cache ports.Cache
	Box   cipher.AEAD // closes what is kept; the servers' own
}

const (
	tapePause = 100 * time.Millisecond // between two looks, and between two pieces
	tapeBeat  = time.Second            // between two signs of life of either side
	tapeAlive = 10 * time.Second       // a tape without a sign for as long has ended
	tapeHeard = 5 * time.Second        // likewise its listeners
)

// tape is one stream's.
type tape struct {
	*Tapes
	name string
}

func (t *Tapes) of(k streamKey) tape {
	sum := sha256.Sum256(append(k.key[:], k.body[:]...))
	return tape{t, "tape/" + k.org.String() + "/" + k.user.String() + "/" + hex.EncodeToString(sum[:])}
}

// piece is a name of the answer's own: one that broke off under the same key may have left
// pieces behind.
func (t tape) piece(answer string, n int) string {
	return t.name + "/" + answer + "/" + strconv.Itoa(n)
}

func (t tape) heard() string { return t.name + "/heard" }

// put keeps events under a name, with the head of their answer.
func (t tape) put(ctx context.Context, name string, h *Head, events []chat.Event, ttl time.Duration) error {
	text, err := idempotency.Encode(&idempotency.Result{
		ID: h.ID, Created: h.Created, Model: h.Model, Agent: string(h.Agent), AgentID: h.Served, Attempts: h.Attempts,
		Route: h.Route, Session: h.Session.String(), How: string(h.How), Ignored: h.Ignored, Events: events,
	})
	if err != nil {
		return err
	}
	return t.Cache.Set(ctx, name, t.Box.Seal(nil, nil, text, []byte(name)), ttl)
}

// get gives what was put.
func (t tape) get(ctx context.Context, name string) (r idempotency.Result, ok bool, err error) {
	val, ok, err := t.Cache.Get(ctx, name)
	if err != nil || !ok {
		return r, false, err
	}
	text, err := t.Box.Open(nil, nil, val, []byte(name))
	if err == nil {
		r, err = idempotency.Decode(text)
	}
	return r, err == nil, err
}

// record copies a running stream to its tape until it is over. The copy goes when the
// stream ends: its answer is stored by then.
func (s *stream) record(run context.Context, t tape) {
	var (
		head   = &s.inner.Head
		names  = []string{t.name, t.heard()}
		pieces int
		at     int
		beat   = time.NewTicker(tapeBeat)
		others context.CancelFunc // ends the place of those who listen elsewhere
	)
	defer beat.Stop()
	defer func() {
		if others != nil {
			others()
		}
		_ = t.Cache.Delete(context.WithoutCancel(run), names...) // else they lapse
	}()
	if t.put(run, t.name, head, nil, tapeAlive) != nil {
		return
	}
	for {
		events, over, grown := s.since(at)
		if len(events) > 0 {
			name := t.piece(head.ID, pieces)
			if t.put(run, name, head, events, claimFor) != nil {
				return // what follows would be of no use
			}
			names = append(names, name)
			pieces++
			at += len(events)
		}
		if over {
			return
		}
		select {
		case <-grown:
			time.Sleep(tapePause)
		case <-run.Done():
			return
		case <-beat.C:
			if t.put(run, t.name, head, nil, tapeAlive) != nil {
				return
			}
			_, heard, err := t.Cache.Get(run, t.heard())
			switch {
			case err != nil:
			case heard && others == nil:
				others = s.elsewhere(run)
			case !heard && others != nil:
				others()
				others = nil
			}
		}
	}
}

// since gives what has come after the first n events, and what is closed when there is
// more.
func (s *stream) since(n int) (events []chat.Event, over bool, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grown == nil {
		s.grown = make(chan struct{})
	}
	return s.log[n:], s.over || s.closed, s.grown
}

// elsewhere takes a place for those who listen on other servers, until it is given up.
func (s *stream) elsewhere(run context.Context) context.CancelFunc {
	if !s.enter() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(run)
	s.all.work.Go(func() { s.attend(&seat{stream: s, ctx: ctx}) })
	return cancel
}

// player plays a tape.
type player struct {
	s      *Service
	ctx    context.Context
	free   func() // gives up its caller's place among those who listen
	cmd    Command
	tape   tape
	pieces int // played
	at     int // events given
	events []chat.Event
	rest   *Reply // what the storage has of it, once it is over
	sign   time.Time
	said   time.Time
	over   bool
}

// play gives the stream that runs on another server; ok is false where there is none.
func (s *Service) play(ctx context.Context, cmd Command, k streamKey) (_ *Reply, ok bool, err error) {
	t := s.Tapes.of(k)
	r, ok, err := t.get(ctx, t.name)
	if err != nil || !ok {
		return nil, false, nil
	}
	if cmd.Resume != "" && cmd.Resume != r.ID {
		return nil, true, expired()
	}
	head, err := replayHead(&r)
	if err != nil {
		return nil, true, err
	}
	cmd.Resume = head.ID
	ctx, free := s.live.listen(ctx, callerOf(cmd.Caller))
	return &Reply{Head: head, played: &player{s: s, ctx: ctx, free: free, cmd: cmd, tape: t, sign: time.Now()}}, true, nil
}

// next gives the next event, as Reply.Next does.
func (p *player) next() (e chat.Event, err error, ok bool) {
	for !p.over {
		switch {
		case len(p.events) > 0:
			e, p.events = p.events[0], p.events[1:]
			e.More = len(p.events) > 0
			p.at++
			p.over = e.Kind == chat.Finished
			return e, nil, true
		case p.rest != nil:
			return p.rest.Next()
		default:
			if err := p.listen(); err != nil {
				p.over = true
				return e, toldBy(p.ctx, err), true
			}
		}
	}
	return e, nil, false
}

// listen waits for the next piece, or for the tape's end.
func (p *player) listen() error {
	now := time.Now()
	if now.Sub(p.said) >= tapeBeat {
		p.said = now
		_ = p.tape.Cache.Set(p.ctx, p.tape.heard(), []byte("1"), tapeHeard) // the next time, then
	}
	r, ok, err := p.tape.get(p.ctx, p.tape.piece(p.cmd.Resume, p.pieces))
	if ok {
		p.pieces++
		p.events, p.sign = r.Events, now
		return nil
	}
	if err == nil {
		if _, ok, err = p.tape.get(p.ctx, p.tape.name); err == nil && !ok {
			return p.stored()
		}
	}
	if ok {
		p.sign = now
	}
	if now.Sub(p.sign) > tapeAlive {
		return p.stored()
	}
	select {
	case <-p.ctx.Done():
		return fault.Wrap(fault.Canceled, context.Cause(p.ctx), "The client left before the answer was complete.")
	case <-time.After(tapePause):
		return nil
	}
}

// stored goes on with what the storage has, since the server that ran the answer is
// done with it, or cannot be heard any more.
func (p *player) stored() error {
	rest, err := p.s.begin(p.ctx, p.cmd)
	switch {
	case fault.Is(err, fault.Conflict), fault.Is(err, fault.Gone):
		return fault.Wrap(fault.Unavailable, err, "The answer broke off on the server that gave it.").WithCode("stream_lost")
	case err != nil:
		return err
	}
	p.rest = rest
	for range p.at {
		if _, err, ok := rest.Next(); err != nil || !ok {
			return fault.Internalf("a stored answer is shorter than what was heard of it")
		}
	}
	return nil
}

func (p *player) close() {
	p.free()
	if p.rest != nil {
		p.rest.Close()
	}
}

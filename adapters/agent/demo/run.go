package demo

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
)

// run is one answer in the making.
type run struct {
	ctx   context.Context
	delay time.Duration
	task  agent.Task
	yield func(chat.Event, error) bool

	choice int  // which choice is spoken
	said   int  // tokens of the choice so far
	tokens int  // tokens of all choices so far
	left   bool // nobody listens any more
}

var errLeft = errors.New("nobody listens any more")

// send hands over one event. It fails when the context has ended or the reader left.
func (r *run) send(e chat.Event) error {
	if err := r.ended(); err != nil {
		return err
	}
	if !r.yield(e, nil) {
		r.left = true
		return errLeft
	}
	return nil
}

// say speaks text, piece by piece, as the choice's whole text, up to the first stop
// sequence or as many tokens as are allowed, a piece counting as its estimate.
// Before each it waits for pace.
func (r *run) say(text []string, pace time.Duration) error {
	whole, reason := strings.Join(text, ""), chat.Stop
	end := len(whole)
	for _, stop := range r.task.Request.Stop {
		if i := strings.Index(whole[:end], stop); stop != "" && i >= 0 {
			end = i
		}
	}
	at := 0
	for _, piece := range text {
		piece = piece[:min(len(piece), end-at)]
		if at += len(piece); piece == "" {
			break
		}
		piece, cut := r.afford(piece)
		if piece != "" {
			if err := r.wait(pace); err != nil {
				return err
			}
			if err := r.send(chat.Event{Kind: chat.Text, Choice: r.choice, Text: piece}); err != nil {
				return err
			}
		}
		if cut {
			reason = chat.Length
			break
		}
	}
	return r.send(chat.Event{Kind: chat.Stopped, Choice: r.choice, Reason: reason})
}

// afford cuts piece to the tokens that are left and counts them.
func (r *run) afford(piece string) (out string, cut bool) {
	n := chat.EstimateTokens(piece)
	if most := r.task.Request.MaxTokens; most > 0 && r.said+n > most {
		room := most - r.said
		for room >= 0 && chat.EstimateTokens(piece) > room {
			_, size := utf8.DecodeLastRuneInString(piece)
			piece = piece[:len(piece)-size]
		}
		n, cut = chat.EstimateTokens(piece), true
	}
	r.said += n
	r.tokens += n
	return piece, cut
}

// wait lets d pass, or fails when the context ends before.
func (r *run) wait(d time.Duration) error {
	if d <= 0 {
		return r.ended()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.ctx.Done():
		return r.ended()
	}
}

// last is the text of the last message of the user.
func (r *run) last() string {
	for i := len(r.task.Messages) - 1; i >= 0; i-- {
		if m := &r.task.Messages[i]; m.Role == chat.User {
			return m.Text()
		}
	}
	return ""
}

// pieces cuts text into at most n pieces of whole runes.
func pieces(text string, n int) []string {
	runes := utf8.RuneCountInString(text)
	size := max(1, (runes+n-1)/n)
	var out []string
	for text != "" {
		end := 0
		for range size {
			_, w := utf8.DecodeRuneInString(text[end:])
			end += w
		}
		out = append(out, text[:end])
		text = text[end:]
	}
	return out
}

// words cuts text after each space.
func words(text string) []string { return strings.SplitAfter(text, " ") }

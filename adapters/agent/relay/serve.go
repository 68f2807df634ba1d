package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"agentapi/adapters/agent/refusal"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/ports"
)

// maxRequest bounds what a program may ask with: our own callers' bound, and what
// the program adds.
const maxRequest = 48 << 20

// maxRefusal bounds what is read of a provider's refusal.
const maxRefusal = 1 << 20

// serve passes one call on. Whatever is wrong with it, the program gets a status
// that it takes for final, so that it does not try again in silence: whether to
// try elsewhere is decided by who asked the program.
func (r *Relay) serve(w http.ResponseWriter, req *http.Request) {
	p := r.pass(req)
	if p == nil {
		refuse(w, http.StatusUnauthorized, "The token is not one of a running agent.")
		return
	}
	if req.Method != http.MethodPost || !strings.HasSuffix(req.URL.Path, p.to.path()) {
		refuse(w, http.StatusNotFound, "Only "+p.to.path()+" is passed on.")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRequest))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "The request is too large.")
		return
	}
	asked, err := look(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "The request is no JSON object with a model.")
		return
	}
	run, meant := p.find(asked.model)
	if run == nil || !run.enter() {
		refuse(w, http.StatusForbidden, "No answer is being made now.")
		return
	}
	defer run.leave()
	if meant != asked.model {
		body = bytes.Join([][]byte{body[:asked.from], jsontext.AppendString(nil, meant), body[asked.to:]}, nil)
	}
	if p.to.API == OpenAI && asked.stream && !asked.options {
		end := bytes.LastIndexByte(body, '}')
		body = append(body[:end:end], `,"stream_options":{"include_usage":true}}`...)
	}
	ctx, cancel := context.WithCancel(req.Context()) // ends when the program hangs up
	defer cancel()
	defer context.AfterFunc(run.ctx, cancel)()
	r.passOn(ctx, w, run, req, body)
}

// asked is what must be known of a request to pass it on.
type asked struct {
	model    string
	from, to int // where the model stands
	stream   bool
	options  bool // it has stream_options
}

func look(body []byte) (a asked, err error) {
	in := jsontext.NewReader(body)
	if err := in.Enter('{'); err != nil {
		return a, err
	}
	for first := true; ; first = false {
		name, ok, err := in.Member(first)
		if err != nil {
			return a, err
		}
		if !ok {
			break
		}
		is := string(name)
		raw, err := in.Value()
		if err != nil {
			return a, err
		}
		switch is {
		case "model":
			a.from, a.to = in.Offset()-len(raw), in.Offset()
			if err := json.Unmarshal(raw, &a.model); err != nil {
				return a, err
			}
		case "stream":
			a.stream = string(raw) == "true"
		case "stream_options":
			a.options = string(raw) != "null"
		}
	}
	if a.model == "" {
		return a, errors.New("no model")
	}
	return a, nil
}

// passOn asks the provider and copies its answer. One that breaks off is ended to
// the program as if it were complete, since a broken connection would be tried
// again in silence; that it broke off is the run's to tell.
func (r *Relay) passOn(ctx context.Context, w http.ResponseWriter, run *Run, req *http.Request, body []byte) {
	resp, err := r.ask(ctx, run, req, body)
	if err != nil {
		if ctx.Err() == nil {
			run.fail(unreachable(err))
		}
		refuse(w, http.StatusBadRequest, "The model's provider cannot be reached.")
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		if err != nil {
			text = nil // the status says enough
		}
		f := refusal.Fault(refusal.Answer{Status: resp.StatusCode, Header: resp.Header.Get, Body: text, Hide: run.pass.to.hide})
		run.fail(f)
		refuse(w, http.StatusBadRequest, f.Message)
		return
	}
	run.answered()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(http.StatusOK)
	seen := newListener(run.pass.to.API, strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream"))
	err = copyTo(w, resp.Body, seen)
	if u, ok := seen.usage(); ok {
		run.use(u)
	}
	switch {
	case ctx.Err() != nil, err == nil && seen.failed == nil && seen.complete():
	case seen.failed != nil:
		run.fail(refusal.InBand(seen.failed, run.pass.to.hide))
	default:
		run.fail(fault.Wrap(fault.Upstream, err, "The agent's upstream broke off in the middle of its answer.").WithCode("upstream_error"))
	}
}

// ask sends the request on, with the provider's key in place of the token, and as a part
// of the trace that the run belongs to, whatever the program makes of that.
func (r *Relay) ask(ctx context.Context, run *Run, req *http.Request, body []byte) (*http.Response, error) {
	to := run.pass.to
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, to.BaseURL+to.path(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Content-Type", "Accept", "Anthropic-Version", "Anthropic-Beta"} {
		if v := req.Header.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	out.Header.Set("User-Agent", "agentapi")
	if trace := ports.Traceparent(run.ctx); trace != "" {
		out.Header.Set("Traceparent", trace)
	}
	if to.APIKey != "" && to.APIKey != "none" {
		if to.API == Anthropic {
			out.Header.Set("X-Api-Key", to.APIKey)
		} else {
			out.Header.Set("Authorization", "Bearer "+to.APIKey)
		}
	}
	for name, value := range to.Headers {
		out.Header.Set(name, value)
	}
	return r.client.Do(out)
}

// hide takes the provider's secrets out of what it says.
func (p *Provider) hide(s string) string {
	const shortest = 4 // less is in every text
	for _, secret := range p.Headers {
		if len(secret) >= shortest {
			s = strings.ReplaceAll(s, secret, "[hidden]")
		}
	}
	if len(p.APIKey) >= shortest && p.APIKey != "none" {
		s = strings.ReplaceAll(s, p.APIKey, "[hidden]")
	}
	return s
}

func unreachable(err error) *fault.Error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fault.Wrap(fault.Unavailable, err, "The agent's upstream cannot be reached.").WithCode("agent_unavailable").
			WithHint("The operator of this server must check the agent's base_url.")
	}
	return fault.Wrap(fault.Upstream, err, "The agent's upstream closed the connection without an answer.").WithCode("upstream_error")
}

// refuse answers in a shape that the clients of both dialects read.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Should-Retry", "false") // what OpenAI's and Anthropic's clients obey
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"error","error":{"type":"invalid_request_error","code":"relay","param":null,"message":%s}}`, jsontext.AppendString(nil, message))
}

// copyTo copies an answer as it comes in, and lets seen hear it.
func copyTo(w http.ResponseWriter, from io.Reader, seen io.Writer) error {
	flush := http.NewResponseController(w)
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			_, _ = seen.Write(buf[:n]) // it only listens
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if err := flush.Flush(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Package mock is a fast OpenAI- and Anthropic-shaped upstream. It speaks just
// enough HTTP/1.1 over raw connections to cost little of the machine, and marks
// what it sends (see package sse) so that the load generator can check order,
// completeness and per-token relay delay.
package mock

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"agentapi/test/load/internal/sse"
)

// Config is what POST /_mock/config takes. Zero values mean: answer at once,
// Tokens 16, no pacing, no errors.
type Config struct {
	LatencyMS   float64 `json:"latency_ms"`   // before the first byte
	DelayMS     float64 `json:"delay_ms"`     // between tokens of a stream
	Tokens      int     `json:"tokens"`       // when the request has no max_tokens
	Batch       int     `json:"batch"`        // events a write carries, at least 1
	ErrorRate   float64 `json:"error_rate"`   // share of requests refused
	ErrorStatus int     `json:"error_status"` // 500 unless set
	AbortRate   float64 `json:"abort_rate"`   // share of streams cut half-way
	KeepLast    bool    `json:"keep_last"`    // keep the last body for GET /_mock/last
}

// Stats is what GET /_mock/stats answers.
type Stats struct {
	Requests, Streams, Active, Tokens, Errors, Aborted, Conns, Refused int64
}

// Server is the mock upstream.
type Server struct {
	cfg   atomic.Pointer[Config]
	last  atomic.Pointer[[]byte]
	stats struct {
		requests, streams, active, tokens, errors, aborted, conns, refused atomic.Int64
	}
}

// New returns a server with the given behaviour.
func New(c Config) *Server {
	s := &Server{}
	s.Set(c)
	return s
}

// Set changes the behaviour from the next request on.
func (s *Server) Set(c Config) {
	if c.Tokens <= 0 {
		c.Tokens = 16
	}
	c.Batch = max(c.Batch, 1)
	if c.ErrorStatus == 0 {
		c.ErrorStatus = 500
	}
	s.cfg.Store(&c)
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	t := &s.stats
	return Stats{t.requests.Load(), t.streams.Load(), t.active.Load(), t.tokens.Load(), t.errors.Load(), t.aborted.Load(), t.conns.Load(), t.refused.Load()}
}

// Serve accepts until the listener closes.
func (s *Server) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
				s.stats.refused.Add(1)
				time.Sleep(time.Millisecond)
				continue
			}
			return err
		}
		go s.conn(c)
	}
}

type request struct {
	method, path []byte
	body         []byte
	close        bool
	recv         int64
}

type conn struct {
	s    *Server
	nc   net.Conn
	br   *bufio.Reader
	head []byte
	body []byte
	out  []byte
}

func (s *Server) conn(nc net.Conn) {
	s.stats.conns.Add(1)
	defer s.stats.conns.Add(-1)
	defer nc.Close()
	c := &conn{s: s, nc: nc, br: bufio.NewReaderSize(nc, 4096)}
	for {
		r, err := c.read()
		if err != nil {
			return
		}
		if err = c.answer(r); err != nil || r.close {
			return
		}
	}
}

func (c *conn) read() (r request, err error) {
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		return r, err
	}
	c.head = append(c.head[:0], line...)
	f := bytes.Fields(c.head)
	if len(f) != 3 {
		return r, errors.New("mock: bad request line")
	}
	r.method, r.path = f[0], f[1]
	length, chunked, expect := int64(0), false, false
	for {
		if line, err = c.br.ReadSlice('\n'); err != nil {
			return r, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		k, v, _ := bytes.Cut(line, []byte(":"))
		v = bytes.TrimSpace(v)
		switch {
		case bytes.EqualFold(k, []byte("content-length")):
			if length, err = strconv.ParseInt(string(v), 10, 64); err != nil || length < 0 || length > 64<<20 {
				return r, errors.New("mock: bad length")
			}
		case bytes.EqualFold(k, []byte("transfer-encoding")):
			chunked = true
		case bytes.EqualFold(k, []byte("expect")):
			expect = true
		case bytes.EqualFold(k, []byte("connection")):
			r.close = bytes.EqualFold(v, []byte("close"))
		}
	}
	if expect {
		if _, err = c.nc.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return r, err
		}
	}
	c.body = c.body[:0]
	if chunked {
		err = c.readChunked()
	} else if length > 0 {
		if int64(cap(c.body)) < length {
			c.body = make([]byte, length)
		}
		c.body = c.body[:length]
		_, err = io.ReadFull(c.br, c.body)
	}
	r.body, r.recv = c.body, time.Now().UnixNano()
	return r, err
}

func (c *conn) readChunked() error {
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		old := len(c.body)
		c.body = append(c.body, make([]byte, n+2)...)
		if _, err = io.ReadFull(c.br, c.body[old:]); err != nil {
			return err
		}
		c.body = c.body[:old+int(n)]
		if n == 0 {
			return nil
		}
	}
}

func (c *conn) answer(r request) error {
	cfg := c.s.cfg.Load()
	switch {
	case bytes.HasSuffix(r.path, []byte("/_mock/config")):
		if len(r.body) > 0 {
			var n Config
			if err := json.Unmarshal(r.body, &n); err != nil {
				return c.reply(400, []byte(`{"error":"bad config"}`))
			}
			c.s.Set(n)
		}
		b, _ := json.Marshal(c.s.cfg.Load())
		return c.reply(200, b)
	case bytes.HasSuffix(r.path, []byte("/_mock/stats")):
		b, _ := json.Marshal(c.s.Stats())
		return c.reply(200, b)
	case bytes.HasSuffix(r.path, []byte("/_mock/last")):
		if b := c.s.last.Load(); b != nil {
			return c.reply(200, *b)
		}
		return c.reply(404, nil)
	case bytes.HasSuffix(r.path, []byte("/models")):
		return c.reply(200, []byte(`{"object":"list","data":[{"id":"mock-1","object":"model","created":1700000000,"owned_by":"mock"},{"id":"gpt-4o-mini","object":"model","created":1700000000,"owned_by":"mock"}]}`))
	case bytes.Equal(r.method, []byte("POST")) && bytes.Contains(r.path, []byte("/chat/completions")):
		return c.chat(cfg, r, openAI)
	case bytes.Equal(r.method, []byte("POST")) && bytes.Contains(r.path, []byte("/messages")):
		return c.chat(cfg, r, anthropic)
	case bytes.HasSuffix(r.path, []byte("/health")):
		return c.reply(200, []byte(`{"status":"ok"}`))
	}
	return c.reply(404, []byte(`{"error":{"message":"no such path","type":"not_found"}}`))
}

func (c *conn) reply(status int, body []byte) error {
	b := append(c.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, " X\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, body...)
	c.out = b
	_, err := c.nc.Write(b)
	return err
}

type dialect int

const (
	openAI dialect = iota
	anthropic
)

func (c *conn) chat(cfg *Config, r request, d dialect) error {
	st := &c.s.stats
	st.requests.Add(1)
	st.active.Add(1)
	defer st.active.Add(-1)
	if cfg.ErrorRate > 0 && rand.Float64() < cfg.ErrorRate {
		st.errors.Add(1)
		return c.reply(cfg.ErrorStatus, []byte(`{"error":{"message":"mock error","type":"server_error","code":null}}`))
	}
	if cfg.KeepLast {
		b := bytes.Clone(r.body)
		c.s.last.Store(&b)
	}
	n := Number(r.body, "max_completion_tokens", Number(r.body, "max_tokens", cfg.Tokens))
	latency := time.Duration(cfg.LatencyMS * float64(time.Millisecond))
	if Flag(r.body, "stream") {
		return c.stream(cfg, d, n, latency, Flag(r.body, "include_usage"))
	}
	if latency > 0 {
		time.Sleep(latency)
	}
	st.tokens.Add(int64(n))
	return c.whole(d, n, r.recv)
}

// whole answers in one piece. Its text starts r=<received>s=<sent>, both as
// sixteen hex digits of Unix nanoseconds.
func (c *conn) whole(d dialect, n int, recv int64) error {
	const okHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
	pre, post := `{"id":"chatcmpl-mock0000000000000000000000","object":"chat.completion","created":1700000000,"model":"mock-1","choices":[{"index":0,"message":{"role":"assistant","content":"`,
		`","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":`
	tail := `,"total_tokens":100,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_mock"}`
	if d == anthropic {
		pre, post = `{"id":"msg_mock00000000000000000000","type":"message","role":"assistant","model":"mock-1","content":[{"type":"text","text":"`,
			`"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":100,"output_tokens":`
		tail = `}}`
	}
	num := strconv.AppendInt(nil, int64(n), 10)
	size := len(pre) + 36 + 6*n + len(post) + len(num) + len(tail)
	b := append(c.out[:0], okHead...)
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, pre...)
	b = append(b, "r="...)
	b = sse.AppendHex16(b, recv)
	b = append(b, "s="...)
	b = sse.AppendHex16(b, time.Now().UnixNano())
	for range n {
		b = append(b, " token"...)
	}
	b = append(b, post...)
	b = append(b, num...)
	b = append(b, tail...)
	c.out = b
	_, err := c.nc.Write(b)
	return err
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"

type events struct{ open, pre, post, end string }

const oaChunk = `data: {"id":"chatcmpl-mock0000000000000000000000","object":"chat.completion.chunk","created":1700000000,"model":"mock-1","service_tier":"default","system_fingerprint":"fp_mock","choices":[{"index":0,"delta":`

var shapes = map[dialect]events{
	openAI: {
		open: oaChunk + `{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}` + "\n\n",
		pre:  oaChunk + `{"content":"`,
		post: ` "},"logprobs":null,"finish_reason":null}]}` + "\n\n",
		end:  oaChunk + `{},"logprobs":null,"finish_reason":"stop"}]}` + "\n\n",
	},
	anthropic: {
		open: "event: message_start\ndata: " + `{"type":"message_start","message":{"id":"msg_mock00000000000000000000","type":"message","role":"assistant","model":"mock-1","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":100,"output_tokens":1}}}` + "\n\n" +
			"event: content_block_start\ndata: " + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n",
		pre:  "event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"`,
		post: ` "}}` + "\n\n",
		end: "event: content_block_stop\ndata: " + `{"type":"content_block_stop","index":0}` + "\n\n" +
			"event: message_delta\ndata: " + `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":100}}` + "\n\n" +
			"event: message_stop\ndata: " + `{"type":"message_stop"}` + "\n\n",
	},
}

const (
	oaUsage = `data: {"id":"chatcmpl-mock0000000000000000000000","object":"chat.completion.chunk","created":1700000000,"model":"mock-1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":100,"total_tokens":200}}` + "\n\n"
	oaDone  = "data: [DONE]\n\n"
)

func (c *conn) stream(cfg *Config, d dialect, n int, latency time.Duration, usage bool) error {
	st := &c.s.stats
	st.streams.Add(1)
	start := time.Now()
	delay := time.Duration(cfg.DelayMS * float64(time.Millisecond))
	sh := shapes[d]
	cut := -1
	if cfg.AbortRate > 0 && rand.Float64() < cfg.AbortRate {
		cut = n / 2
	}
	if latency > 0 {
		time.Sleep(latency)
	}
	b := append(c.out[:0], streamHead...)
	b = chunk(b, sh.open)
	for i := 0; i < n; i++ {
		if i == cut {
			st.aborted.Add(1)
			return errors.New("mock: cut")
		}
		if delay > 0 && i > 0 {
			time.Sleep(time.Until(start.Add(latency + time.Duration(i)*delay)))
		}
		b = strconv.AppendInt(b, int64(len(sh.pre)+24+len(sh.post)), 16)
		b = append(b, "\r\n"...)
		b = append(b, sh.pre...)
		b = append(b, 'w')
		for p := 100000; p > 0; p /= 10 {
			b = append(b, byte('0'+i/p%10))
		}
		b = append(b, '@')
		b = sse.AppendHex16(b, time.Now().UnixNano())
		b = append(b, sh.post...)
		b = append(b, "\r\n"...)
		st.tokens.Add(1)
		if (i+1)%cfg.Batch == 0 {
			if _, err := c.nc.Write(b); err != nil {
				st.aborted.Add(1)
				return err
			}
			b = b[:0]
		}
	}
	b = chunk(b, sh.end)
	if d == openAI {
		if usage {
			b = chunk(b, oaUsage)
		}
		b = chunk(b, oaDone)
	}
	b = append(b, "0\r\n\r\n"...)
	_, err := c.nc.Write(b)
	c.out = b
	return err
}

func chunk(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 16)
	b = append(b, "\r\n"...)
	b = append(b, s...)
	return append(b, "\r\n"...)
}

// Flag tells whether the JSON text has "name": true. It scans, it does not
// parse: the bodies are the generator's own.
func Flag(b []byte, name string) bool {
	v := after(b, name)
	return len(v) > 0 && v[0] == 't'
}

// Number reads "name": digits, or gives def.
func Number(b []byte, name string, def int) int {
	v := after(b, name)
	n, i := 0, 0
	for ; i < len(v) && v[i] >= '0' && v[i] <= '9' && i < 9; i++ {
		n = n*10 + int(v[i]-'0')
	}
	if i == 0 {
		return def
	}
	return n
}

func after(b []byte, name string) []byte {
	k := []byte(`"` + name + `"`)
	i := bytes.Index(b, k)
	if i < 0 {
		return nil
	}
	return bytes.TrimLeft(b[i+len(k):], ": \t\r\n")
}

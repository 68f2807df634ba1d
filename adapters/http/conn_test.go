package http_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	web "agentapi/adapters/http"
)

// post is a request as it stands on the wire, whose body its last header says how to read.
func post(body string, headers ...string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\n" +
		strings.Join(headers, "\r\n") + "\r\n\r\n" + body
}

// said is post for a whole body that asks for an echo.
func said(text string, headers ...string) string {
	body := ask("raw/echo-1", text)
	return post(body, append(headers, fmt.Sprintf("Content-Length: %d", len(body)))...)
}

func write(t *testing.T, w io.Writer, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Microsecond)
	}
}

// echoed reads an answer, which must be the text's.
func echoed(t *testing.T, in *bufio.Reader, text string) {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("%.20s: %v", text, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"`+text+`"`)) {
		t.Fatalf("%.20s: %d %.300s %v", text, resp.StatusCode, body, err)
	}
}

func TestARequestMayComeInPieces(t *testing.T) {
	h := open(t)
	c, in := h.dial(t)
	text := said("hello there")
	for at := 1; at < len(text); at++ {
		write(t, c, text[:at], text[at:])
		echoed(t, in, "hello there")
	}
	head, body, _ := strings.Cut(said("hello there", "Expect: 100-continue"), "\r\n\r\n")
	head += "\r\n\r\n"
	for at := 1; at < len(head); at += 10 {
		write(t, c, head[:at], head[at:])
		if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		_, _ = in.ReadString('\n')
		write(t, c, body)
		echoed(t, in, "hello there")
	}
}

// However large they are: a connection takes what comes with a request's first byte.
func TestRequestsThatComeTogetherAreAnsweredEach(t *testing.T) {
	h := open(t)
	var all strings.Builder
	var texts []string
	for i, size := range []int{1, 100, 3700, 3800, 3900, 4096, 1, 1, 7700, 7900, 8000, 8191, 8192, 20000, 5, 12288, 3} {
		for more := range 6 {
			text := fmt.Sprintf("%d %d ", i, more) + strings.Repeat("x", size+more)
			body := ask("raw/echo-1", text)
			texts = append(texts, text)
			all.WriteString(said(text))
			texts = append(texts, text)
			all.WriteString(post(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), "Transfer-Encoding: chunked"))
		}
	}
	for _, at := range []int{1 << 20, 8193, 4095} {
		c, in := h.dial(t)
		go func() {
			for rest := []byte(all.String()); len(rest) > 0; {
				n := min(at, len(rest))
				if _, err := c.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		for _, text := range texts {
			echoed(t, in, text)
		}
	}
}

// Answers are written in what others were written in.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	h := open(t)
	var all sync.WaitGroup
	for i := range 8 {
		c, in := h.dial(t)
		all.Go(func() {
			for n := range 100 {
				text := fmt.Sprintf("%d %d ", i, n) + strings.Repeat(string(rune('a'+i)), 10*n)
				if _, err := io.WriteString(c, said(text)); err != nil {
					t.Error(err)
					return
				}
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Contains(body, []byte(`"`+text+`"`)) {
					t.Errorf("%.20s: %.300s %v", text, body, err)
				}
			}
		})
	}
	all.Wait()
}

// As it would where the connection holds less than the client waits for.
func TestALargeAnswerDoesNotStall(t *testing.T) {
	h := open(t)
	text := strings.Repeat("x", 900<<10)
	c, in := h.dial(t)
	var took [9]time.Duration
	for i := range took {
		began := time.Now()
		write(t, c, said(text))
		echoed(t, in, text)
		took[i] = time.Since(began)
	}
	if slices.Sort(took[:]); took[len(took)/2] > 300*time.Millisecond { // ten times what it takes; half a second where it stalls
		t.Errorf("answers take %v", took)
	}
}

func TestWhatHidesBetweenChunksIsRefused(t *testing.T) {
	h := open(t)
	var chunks strings.Builder
	for _, b := range ask("raw/echo-1", "x") {
		fmt.Fprintf(&chunks, "1;%s\r\n%c\r\n", strings.Repeat("e", 500), b)
	}
	c, in := h.dial(t)
	write(t, c, post(chunks.String()+"0\r\n\r\n", "Transfer-Encoding: chunked"))
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestARequestThatDribblesHasItsTimeAndNoMore(t *testing.T) {
	h := open(t, func(p *web.Params) { p.ReadTimeout = 300 * time.Millisecond })
	for _, first := range []bool{true, false} {
		c, in := h.dial(t)
		if !first {
			write(t, c, said("hello"))
			echoed(t, in, "hello")
		}
		began := time.Now()
		go func() {
			for _, b := range []byte(said("hello")) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		_ = c.SetReadDeadline(began.Add(3 * time.Second))
		resp, err := http.ReadResponse(in, nil)
		if took := time.Since(began); err != nil || resp.StatusCode != http.StatusRequestTimeout || took < 250*time.Millisecond || took > time.Second {
			t.Errorf("after %v: %v, %v", took, resp, err)
		}
	}
}

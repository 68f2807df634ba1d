package http_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestHeadersAreFoundHoweverTheyAreSpelt(t *testing.T) {
	h := open(t)
	c, in := h.dial(t)
	get := func(headers ...string) *http.Response {
		t.Helper()
		write(t, c, said("hello", headers...))
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	session := func(header string) string { return get(header).Header.Get("X-Agentapi-Session") }
	for _, spelt := range [][2]string{{"X-OpenWebUI-Chat-Id: a", "x-openwebui-chat-id: a"}, {"X-Session-Id: b", "x-SESSION-id: b"}} {
		if first, again := session(spelt[0]), session(spelt[1]); first != "new" || again == "new" {
			t.Errorf("%v: got sessions that are %s and %s", spelt, first, again)
		}
	}
	if resp := get("content-ENCODING: gzip"); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("what says that it is compressed got %d", resp.StatusCode)
	}
	if resp := get("last-event-id: chatcmpl-1.1"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("what cannot be resumed got %d", resp.StatusCode)
	}
	get("x-client-REQUEST-id: mine-1")
	if !strings.Contains(h.logs.String(), `"client_request_id":"mine-1"`) {
		t.Error("the client's id is not in the log")
	}
}

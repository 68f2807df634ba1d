package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	web "agentapi/adapters/http"
	"agentapi/adapters/http/sessions"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// opened opens a session and gives its path.
func (h *house) opened(t *testing.T, body string, headers ...string) string {
	t.Helper()
	a := h.do(t, http.MethodPost, "/api/v1/sessions", body, headers...)
	if a.status != http.StatusCreated || !strings.HasPrefix(a.header.Get("Location"), "/api/v1/sessions/sess_") {
		t.Fatalf("got %d %v %s", a.status, a.header, a.body)
	}
	return a.header.Get("Location")
}

func (a answer) has(t *testing.T, status int, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.body, part) {
			t.Errorf("%s is not in %s", part, a.body)
		}
	}
	if a.status != status {
		t.Errorf("got %d, not %d: %s", a.status, status, a.body)
	}
}

func TestASessionIsOpenedNamedArchivedAndGoesOn(t *testing.T) {
	h := open(t)
	path := h.opened(t, `{"key":"mine","metadata":{"team":"red"}}`)
	h.do(t, http.MethodGet, path, "").has(t, 200, `"title":""`, `"key":"mine"`, `"archived":false`, `"metadata":{"team":"red"}`, `"version":1`)
	h.chat(t, ask("demo/echo", "hello there"), "X-Session-Id", "mine").has(t, 200, "hello there")
	h.do(t, http.MethodGet, path, "").has(t, 200, `"title":"hello there"`, `"message_count":2`)
	h.do(t, http.MethodPatch, path, `{"title":"Näme","metadata":{"team":null,"a":"b"}}`, "Content-Type", "application/merge-patch+json").
		has(t, 200, `"title":"Näme"`, `"metadata":{"a":"b"}`)
	h.do(t, http.MethodPatch, path, `{"archived":true}`).has(t, 200, `"archived":true`, `"title":"Näme"`)
	for _, headers := range [][]string{{"X-Session-Id", "mine"}, {"X-Session-Id", strings.TrimPrefix(path, "/api/v1/sessions/")}} {
		h.chat(t, ask("demo/echo", "more"), headers...).has(t, 409, `"session_archived"`)
		h.chat(t, stream("demo/echo", "more"), headers...).has(t, 409, `"session_archived"`)
	}
	h.do(t, http.MethodPatch, path, `{"archived":false,"metadata":null}`).has(t, 200, `"archived":false`, `"metadata":{}`)
	h.chat(t, ask("demo/echo", "more"), "X-Session-Id", strings.TrimPrefix(path, "/api/v1/sessions/")).has(t, 200, "more")
}

func TestWhatASessionMayNotBecomeIsRefusedByName(t *testing.T) {
	h := open(t)
	path := h.opened(t, "")
	many := `{"metadata":{`
	for i := range 17 {
		many += fmt.Sprintf(`"k%d":"v",`, i)
	}
	many = strings.TrimSuffix(many, ",") + "}}"
	for body, code := range map[string]string{
		`{"title":""}`: "invalid_value",
		`{"title":"` + strings.Repeat("ü", 201) + `"}`:          "string_too_long",
		`{"title":"a\u0000b"}`:                                  "invalid_content",
		`{"title":"a\u0085b"}`:                                  "invalid_content",
		`{"title":null}`:                                        "invalid_type",
		`{"title":7}`:                                           "invalid_type",
		`{"metadata":[]}`:                                       "invalid_type",
		`{"metadata":{"a":1}}`:                                  "invalid_type",
		`{"metadata":{"a":"b","a":"c"}}`:                        "duplicate_key",
		`{"metadata":{"":"b"}}`:                                 "invalid_value",
		`{"metadata":{"` + strings.Repeat("k", 65) + `":"b"}}`:  "string_too_long",
		`{"metadata":{"a":"` + strings.Repeat("v", 513) + `"}}`: "string_too_long",
		many:              "out_of_range",
		`{"id":"x"}`:      "unknown_parameter",
		`{"Title":"x"}`:   "unknown_parameter",
		`{"title":"a"} x`: "invalid_json",
		`{"title":`:       "invalid_json",
		`[]`:              "invalid_request",
	} {
		h.do(t, http.MethodPatch, path, body).has(t, 400, `"`+code+`"`, `"status":400`)
		h.do(t, http.MethodPost, "/api/v1/sessions", body).has(t, 400, `"`+code+`"`)
	}
	h.do(t, http.MethodPatch, path, `{"archived":"yes"}`).has(t, 400, `"invalid_type"`, `"archived"`)
	h.do(t, http.MethodPatch, path, `{"key":"x"}`).has(t, 400, `"unknown_parameter"`)
	h.do(t, http.MethodPost, "/api/v1/sessions", `{"key":"sess_x"}`).has(t, 400, `"invalid_value"`)
	h.do(t, http.MethodPatch, path, `{}`, "Content-Type", "text/plain").has(t, 415, `"unsupported_media_type"`)
	h.do(t, http.MethodPost, "/api/v1/sessions", `{}`, "Content-Type", "application/merge-patch+json").has(t, 415)
	h.do(t, http.MethodGet, path, "").has(t, 200, `"version":1`, `"title":""`)
	h.do(t, http.MethodPatch, path, `{"title":"`+strings.Repeat("ü", 200)+`"}`).has(t, 200)
}

func TestAVersionGuardsAgainstOthersChanges(t *testing.T) {
	h := open(t)
	path := h.opened(t, `{"title":"one"}`)
	first := h.do(t, http.MethodGet, path, "")
	tag := first.header.Get("ETag")
	if tag != `"1"` {
		t.Errorf("the tag is %s", tag)
	}
	for _, tags := range []string{tag, "W/" + tag, `"9", ` + tag, "*"} {
		a := h.do(t, http.MethodGet, path, "", "If-None-Match", tags)
		if a.status != http.StatusNotModified || a.body != "" || a.header.Get("ETag") != tag {
			t.Errorf("%s: got %d %s", tags, a.status, a.body)
		}
	}
	a := h.do(t, http.MethodPatch, path, `{"title":"two"}`, "If-Match", tag)
	a.has(t, 200, `"version":2`)
	if a.header.Get("ETag") != `"2"` {
		t.Errorf("got %v", a.header)
	}
	h.do(t, http.MethodGet, path, "", "If-None-Match", tag).has(t, 200, `"two"`)
	for _, old := range []string{tag, `W/"2"`, "2", "x", `"02"`} {
		h.do(t, http.MethodPatch, path, `{"title":"three"}`, "If-Match", old).has(t, 412, `"precondition_failed"`)
		h.do(t, http.MethodDelete, path, "", "If-Match", old).has(t, 412, `"precondition_failed"`)
	}
	h.do(t, http.MethodPatch, path, `{"title":"three"}`, "If-Match", "*").has(t, 200, `"version":3`)
	h.do(t, http.MethodDelete, path, "", "If-Match", `"3"`).has(t, 200, `"deleted":true`)
	h.do(t, http.MethodDelete, path, "", "If-Match", `"3"`).has(t, 404, `"session_not_found"`)
}

func TestAListHoldsWhatItsFiltersChoose(t *testing.T) {
	h := open(t)
	for _, title := range []string{"Alpha 100%", "Beta", "gamma_x"} {
		h.opened(t, `{"title":"`+title+`"}`)
		tick() // lists are in order of creation to the millisecond
	}
	archived := h.opened(t, `{"title":"old alpha"}`)
	h.do(t, http.MethodPatch, archived, `{"archived":true}`).has(t, 200)
	tick()
	h.chat(t, ask("demo/echo", "spoken"), "X-Session-Id", "k").has(t, 200)
	for query, want := range map[string]string{
		"":                                   "spoken,gamma_x,Beta,Alpha 100%",
		"?status=open&order=asc&limit=2":     "Alpha 100%,Beta",
		"?status=archived":                   "old alpha",
		"?status=all&q=ALPHA":                "old alpha,Alpha 100%",
		"?q=%25":                             "Alpha 100%",
		"?q=_":                               "gamma_x",
		"?agent=demo&model=echo":             "spoken",
		"?agent=raw":                         "",
		"?since=2020-01-01T00:00:00Z&q=b":    "Beta",
		"?until=2020-01-01T00:00:00%2B02:00": "",
	} {
		a := h.do(t, http.MethodGet, "/api/v1/sessions"+query, "")
		var list struct{ Data []struct{ Title string } }
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Errorf("%s: %s", query, a.body)
		}
		var titles []string
		for _, s := range list.Data {
			titles = append(titles, s.Title)
		}
		if got := strings.Join(titles, ","); got != want {
			t.Errorf("%s: got %s, not %s", query, got, want)
		}
	}
	if link := h.do(t, http.MethodGet, "/api/v1/sessions?q=a&limit=1", "").header.Get("Link"); !strings.Contains(link, "q=a") {
		t.Errorf("the next page forgets the filter: %s", link)
	}
	for query, code := range map[string]string{
		"?status=closed": "invalid_value", "?status=": "invalid_value", "?since=yesterday": "invalid_type", "?until=1": "invalid_type",
		"?until=0001-01-01T00:00:00Z": "invalid_type", "?since=0000-01-01T00:00:00Z": "out_of_range", "?q=%00": "invalid_content", "?q=%ff": "invalid_content",
		"?agent=" + strings.Repeat("a", 201): "string_too_long", "?user=x": "unknown_parameter", "?q=a&q=b": "invalid_value",
	} {
		h.do(t, http.MethodGet, "/api/v1/sessions"+query, "").has(t, 400, `"`+code+`"`)
	}
	h.do(t, http.MethodGet, archived+"/messages?status=open", "").has(t, 400, `"unknown_parameter"`)
}

func TestAnOpeningIsRepeatedWithoutHarm(t *testing.T) {
	h := open(t)
	const body = `{"title":"one","key":"k","metadata":{"a":"b"}}`
	first := h.do(t, http.MethodPost, "/api/v1/sessions", body, "Idempotency-Key", "once")
	first.has(t, 201, `"one"`)
	h.do(t, http.MethodPatch, first.header.Get("Location"), `{"title":"changed"}`).has(t, 200)
	again := h.do(t, http.MethodPost, "/api/v1/sessions", body, "Idempotency-Key", "once")
	again.has(t, 201)
	if again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("got %v %s\nnot %s", again.header, again.body, first.body)
	}
	h.do(t, http.MethodPost, "/api/v1/sessions", `{"title":"two"}`, "Idempotency-Key", "once").has(t, 422, `"idempotency_key_reuse"`)
	h.do(t, http.MethodPost, "/api/v1/sessions", body, "Idempotency-Key", "ü").has(t, 400, `"invalid_idempotency_key"`)
	for range 2 { // a refusal gives the key back
		h.do(t, http.MethodPost, "/api/v1/sessions", body, "Idempotency-Key", "twice").has(t, 409, `"key_taken"`)
	}
	h.do(t, http.MethodPost, "/api/v1/sessions", body).has(t, 409, `"key_taken"`)
	h.do(t, http.MethodPost, "/api/v1/sessions", body, "Authorization", "Bearer "+token+"-bob", "Idempotency-Key", "once").has(t, 201)
	if a := h.do(t, http.MethodGet, "/api/v1/sessions", ""); strings.Count(a.body, `"sess_`) != 3 { // and first_id, last_id
		t.Errorf("got %s", a.body)
	}
}

// halting are conversations whose turns cannot be read after the first page.
type halting struct{ sessions.Conversations }

func (h halting) Turns(ctx context.Context, who tenancy.Principal, id session.ID, q page.Query) (page.Of[session.Turn], error) {
	if q.After != "" {
		return page.Of[session.Turn]{}, fault.New(fault.Unavailable, "The storage does not answer.")
	}
	return h.Conversations.Turns(ctx, who, id, q)
}

func TestAnExportIsTheWholeConversationOrBroken(t *testing.T) {
	var long strings.Builder
	long.WriteString(`{"model":"demo/echo","messages":[`)
	for i := range 100 {
		fmt.Fprintf(&long, `{"role":"user","content":"message %d"},{"role":"assistant","content":"%s"},`, i, strings.Repeat("x", 1000))
	}
	long.WriteString(`{"role":"user","content":"last"}]}`)
	h := open(t)
	id := h.chat(t, long.String()).header.Get("X-Agentapi-Session-Id")
	a := h.do(t, http.MethodGet, "/api/v1/sessions/"+id+"/export", "")
	var whole struct {
		Object   string
		Session  struct{ ID string }
		Messages []struct {
			Sequence int
			Content  string
		}
	}
	if err := json.Unmarshal([]byte(a.body), &whole); err != nil || whole.Object != "session.export" || whole.Session.ID != id || len(whole.Messages) != 202 {
		t.Fatalf("%v: %d messages, %.300s", err, len(whole.Messages), a.body)
	}
	for i, m := range whole.Messages {
		if m.Sequence != i+1 {
			t.Errorf("message %d is the %d.", i+1, m.Sequence)
		}
	}
	if d := a.header.Get("Content-Disposition"); d != `attachment; filename="`+id+`.json"` || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %v", a.header)
	}
	empty := h.opened(t, "")
	h.do(t, http.MethodGet, empty+"/export", "").has(t, 200, `"messages":[]}`)
	h.do(t, http.MethodGet, empty+"/export?x=y", "").has(t, 400, `"unknown_parameter"`)
	if a := h.do(t, http.MethodHead, empty+"/export", ""); a.status != http.StatusOK || a.body != "" {
		t.Errorf("HEAD: %d %s", a.status, a.body)
	}

	h = open(t, func(p *web.Params) { p.Conversations = halting{p.Conversations} })
	id = h.chat(t, long.String()).header.Get("X-Agentapi-Session-Id")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/api/v1/sessions/"+id+"/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an export ends with %v: …%s", err, text[max(0, len(text)-100):])
	}
}

func TestAnothersSessionIsNoneOnEveryRoute(t *testing.T) {
	h := open(t)
	own := h.opened(t, `{"title":"canary"}`)
	none := "/api/v1/sessions/" + session.ID{1}.String()
	bob := []string{"Authorization", "Bearer " + token + "-bob"}
	for _, c := range []struct{ method, rest, body string }{
		{http.MethodGet, "", ""}, {http.MethodGet, "/messages", ""}, {http.MethodGet, "/export", ""}, {http.MethodPatch, "", `{"title":"x"}`},
		{http.MethodPatch, "", `{"archived":true}`}, {http.MethodDelete, "", ""},
	} {
		for _, match := range []string{"", "*", `"1"`} {
			headers := append([]string{"If-Match", match, "If-None-Match", match}, bob...)
			theirs, absent := h.do(t, c.method, own+c.rest, c.body, headers...), h.do(t, c.method, none+c.rest, c.body, headers...)
			clean := func(a answer, path string) string {
				text := strings.ReplaceAll(a.body, path, "")
				return strings.ReplaceAll(text, a.header.Get("X-Request-Id"), "")
			}
			if theirs.status != http.StatusNotFound || absent.status != theirs.status || clean(theirs, own) != clean(absent, none) {
				t.Errorf("%s %s: %d %s, and %d %s", c.method, c.rest, theirs.status, theirs.body, absent.status, absent.body)
			}
		}
	}
	h.do(t, http.MethodGet, own, "").has(t, 200, `"canary"`, `"version":1`)
	for path, allowed := range map[string]string{
		"/api/v1/sessions": "GET, POST", own: "GET, PATCH, DELETE", own + "/messages": "GET", own + "/export": "GET",
	} {
		a := h.do(t, http.MethodPut, path, "{}")
		a.has(t, 405, `"method_not_allowed"`)
		if a.header.Get("Allow") != allowed {
			t.Errorf("%s allows %s", path, a.header.Get("Allow"))
		}
	}
}

// tick waits for the clock's next millisecond.
func tick() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
		runtime.Gosched()
	}
}

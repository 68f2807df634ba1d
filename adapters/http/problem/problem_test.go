package problem

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
)

func TestEveryKindHasARow(t *testing.T) {
	for _, k := range fault.Kinds() {
		r, ok := table[k]
		if !ok || r.status < 400 || r.kind == "" {
			t.Errorf("%s has no row", k)
		}
	}
}

func TestEveryBodyHasAllFourKeys(t *testing.T) {
	for _, k := range fault.Kinds() {
		p := From(fault.New(k, `Say "no".`))
		for _, body := range [][]byte{p.Body("req_1"), p.Detailed("req_1", "/x"), p.Body("")} {
			var got struct {
				Error map[string]any `json:"error"`
			}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatalf("%s: %v in %s", k, err, body)
			}
			for _, key := range []string{"message", "type", "param", "code"} {
				if _, there := got.Error[key]; !there {
					t.Errorf("%s: no %s in %s", k, key, body)
				}
			}
		}
	}
}

func TestWhatIsNotAFaultIsShownAsWhatItIs(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"an unknown error":   {errors.New("secret path /etc"), 500, "internal_error"},
		"nil":                {nil, 500, "internal_error"},
		"a client that left": {context.Canceled, 499, "client_closed_request"},
		"a deadline":         {context.DeadlineExceeded, 504, "upstream_timeout"},
		"the library's 404":  {fiber.NewError(404, "Cannot GET /x"), 404, "not_found"},
		"its parse error":    {fiber.NewError(400, `contents: "Authorization: Bearer secret"`), 400, "bad_request"},
		"a status unknown":   {fiber.NewError(418), 418, "bad_request"},
		"its 500":            {fiber.NewError(500, "secret"), 500, "internal_error"},
	} {
		t.Run(name, func(t *testing.T) {
			p := From(c.err)
			if p.Status != c.status || p.Code != c.code {
				t.Errorf("got %d %s", p.Status, p.Code)
			}
			if strings.Contains(string(p.Body("r")), "secret") {
				t.Errorf("it shows what it must not: %s", p.Body("r"))
			}
		})
	}
}

func TestHeadersThatTellClientsWhatToDo(t *testing.T) {
	headers := func(err error) map[string]string {
		out := map[string]string{}
		From(err).Headers("", func(k, v string) { out[k] = v })
		return out
	}
	if h := headers(fault.New(fault.RateLimited, "x").WithRetryAfter(1500 * time.Millisecond)); h["Retry-After"] != "2" || h["retry-after-ms"] != "1500" {
		t.Errorf("429: %v", h)
	}
	if h := headers(fault.New(fault.RateLimited, "x")); h["Retry-After"] != "1" {
		t.Errorf("429 without a time: %v", h)
	}
	if h := headers(fault.New(fault.QuotaExhausted, "x").WithRetryAfter(time.Hour)); h["Retry-After"] != "" || h["x-should-retry"] != "false" {
		t.Errorf("a spent quota: %v", h)
	}
	if h := headers(fault.New(fault.Unauthenticated, "x")); h["WWW-Authenticate"] != `Bearer realm="agentapi"` {
		t.Errorf("no credential: %v", h)
	}
	From(fault.New(fault.Unauthenticated, "x")).Headers("https://api.example/meta", func(_, v string) {
		if v != `Bearer realm="agentapi", resource_metadata="https://api.example/meta"` {
			t.Errorf("with metadata: %s", v)
		}
	})
	if h := headers(fault.New(fault.Unauthenticated, "x").WithCode("invalid_api_key")); !strings.Contains(h["WWW-Authenticate"], "invalid_token") {
		t.Errorf("a bad credential: %v", h)
	}
}

func TestTheTypeOfAnUpstreamThatIsKept(t *testing.T) {
	p := From(fault.New(fault.RateLimited, "x").With(func(e *fault.Error) { e.Type = "tokens" }))
	if p.Type != "tokens" || p.Status != http.StatusTooManyRequests {
		t.Errorf("got %+v", p)
	}
	if p := From(fault.New(fault.Conflict, "x").WithCode("idempotency_in_progress")); p.Type != "idempotency_error" {
		t.Errorf("got %+v", p)
	}
}

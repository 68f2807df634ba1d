package kit

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Person is somebody with a browser: it follows where it is sent, and fills in
// the forms that it is shown.
type Person struct {
	Answers map[string]string // by the name of the field
	Refuses bool              // to go on, where a page lets them

	client  http.Client
	refused bool
}

// NewPerson makes a person of a name.
func NewPerson(t testing.TB, name string) *Person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Person{Answers: map[string]string{"login": name, "password": "anything"}, client: http.Client{Jar: jar}}
}

var (
	forms  = regexp.MustCompile(`(?s)<form[^>]*>.*?</form>`)
	tags   = regexp.MustCompile(`<(form|input|button)[^>]*>`)
	member = regexp.MustCompile(`([a-z]+)="([^"]*)"`)
	cancel = regexp.MustCompile(`<a href="([^"]*/abort)"`)
)

// Visit opens an address and does what the pages want, until one wants nothing;
// it gives that one.
func (p *Person) Visit(ctx context.Context, address string) (Answer, error) {
	next, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Answer{}, err
	}
	for range 12 {
		resp, err := p.client.Do(next)
		if err != nil {
			return Answer{}, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return Answer{}, err
		}
		at, fields := p.fill(resp.Request.URL, string(text))
		if at == nil {
			return Answer{resp.StatusCode, resp.Header, string(text)}, nil
		}
		method, body := http.MethodPost, fields.Encode()
		if fields == nil {
			method, body = http.MethodGet, ""
		}
		if next, err = http.NewRequestWithContext(ctx, method, at.String(), strings.NewReader(body)); err != nil {
			return Answer{}, err
		}
		if body != "" {
			next.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	return Answer{}, fmt.Errorf("there is no end of pages from %s on", address)
}

// fill gives where a page wants to go on, and with what; nil where it does not.
func (p *Person) fill(page *url.URL, text string) (*url.URL, url.Values) {
	form := forms.FindString(text)
	if form == "" || p.refused {
		return nil, nil
	}
	if found := cancel.FindStringSubmatch(text); p.Refuses && found != nil {
		at, err := page.Parse(html.UnescapeString(found[1]))
		if err != nil {
			return nil, nil
		}
		p.refused = true
		return at, nil
	}
	var at *url.URL
	fields := url.Values{}
	for _, tag := range tags.FindAllStringSubmatch(form, -1) {
		has := map[string]string{}
		for _, m := range member.FindAllStringSubmatch(tag[0], -1) {
			has[m[1]] = html.UnescapeString(m[2])
		}
		if tag[1] == "form" {
			var err error
			if at, err = page.Parse(has["action"]); err != nil {
				return nil, nil
			}
		} else if name := has["name"]; name != "" {
			if has["value"] == "" {
				has["value"] = p.Answers[name]
			}
			fields.Set(name, has["value"])
		}
	}
	return at, fields
}

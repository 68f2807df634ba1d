package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Exchange is a request and its answer.
type Exchange struct {
	Method  string
	URL     *url.URL
	Header  http.Header
	Body    []byte
	Status  int
	Answer  http.Header
	Content []byte // of the answer
	Cut     bool   // the client read no further
}

// everywhere are headers that any answer may have; the document says so in its text,
// of those that are ours.
var everywhere = []string{
	"Content-Type", "Content-Length", "Date", "Connection", "Transfer-Encoding", "X-Request-Id", "Openai-Version", "Openai-Processing-Ms",
}

// Check gives all in which an exchange differs from the document.
func (d *Document) Check(x *Exchange) []error {
	method := x.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	op := d.find(method, x.URL.EscapedPath())
	if op == nil {
		return d.nowhere(x)
	}
	var all []error
	report := func(err error) {
		if err != nil {
			all = append(all, fmt.Errorf("%s %s: %w", op.Method, op.Path, err))
		}
	}
	if x.Status < 400 {
		for _, err := range d.request(op, x) {
			report(err)
		}
	}
	for _, err := range d.answer(op, x) {
		report(fmt.Errorf("%d: %w", x.Status, err))
	}
	return all
}

// nowhere holds the answer of a route that is not described: it must be an error.
func (d *Document) nowhere(x *Exchange) []error {
	if x.Status < 400 {
		return []error{fmt.Errorf("%s %s: %d, and it is not described", x.Method, x.URL.Path, x.Status)}
	}
	name := "OpenAIOtherwise"
	switch {
	case strings.HasPrefix(x.URL.Path, "/api/v1/"):
		name = "Otherwise"
	case strings.HasPrefix(x.URL.Path, "/scim/"):
		name = "SCIMOtherwise"
	}
	var all []error
	for _, err := range d.content(d.at(d.at(d.at(node{"", d.root}, "components"), "responses"), name), x) {
		all = append(all, fmt.Errorf("%s %s: %d: %w", x.Method, x.URL.Path, x.Status, err))
	}
	return all
}

// request holds a request that was taken.
func (d *Document) request(op *Operation, x *Exchange) (all []error) {
	query := x.URL.Query()
	for _, p := range op.Parameters {
		var got []string
		switch p.In {
		case "query":
			got = query[p.Name]
			delete(query, p.Name)
		case "header":
			got = x.Header.Values(p.Name)
		case "path":
			continue // it fits
		}
		if p.Required && len(got) == 0 {
			all = append(all, fmt.Errorf("taken without the parameter %s", p.Name))
		}
		if len(got) > 0 {
			all = append(all, explain(d.valid(p.schema, true, p.value(got)), "the parameter "+p.Name))
		}
	}
	if d.at(d.at(op.at, "responses"), "400").object != nil { // others pass over what they do not know
		for name := range query {
			all = append(all, fmt.Errorf("the parameter %s is taken and not described", name))
		}
	}
	body := d.at(op.at, "requestBody")
	if len(bytes.TrimSpace(x.Body)) == 0 {
		if body.object["required"] == true {
			all = append(all, errors.New("taken without a body"))
		}
		return slices.DeleteFunc(all, func(err error) bool { return err == nil })
	}
	kind, _, _ := mime.ParseMediaType(x.Header.Get("Content-Type"))
	if kind == "" {
		kind = "application/json"
	}
	media := d.at(d.at(body, "content"), kind)
	if media.object == nil {
		return append(all, fmt.Errorf("a body of %s is taken and not described", kind))
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(x.Body))
	if err == nil {
		err = d.valid(d.at(media, "schema"), true, v)
	}
	all = append(all, explain(err, "the request"))
	return slices.DeleteFunc(all, func(err error) bool { return err == nil })
}

// value reads the texts of a parameter.
func (p *Parameter) value(got []string) any {
	if p.schema.object["type"] != "array" {
		return decode(p.schema.object, got[0])
	}
	if !p.Explode {
		got = strings.Split(got[0], ",")
	}
	items, _ := p.schema.object["items"].(object)
	list := make([]any, len(got))
	for i, text := range got {
		list[i] = decode(items, text)
	}
	return list
}

// answer holds an answer.
func (d *Document) answer(op *Operation, x *Exchange) []error {
	responses := d.at(op.at, "responses")
	r := d.at(responses, strconv.Itoa(x.Status))
	if r.object == nil {
		r = d.at(responses, "default")
		statuses, _ := r.object["x-agentapi-statuses"].([]any)
		if !slices.ContainsFunc(statuses, func(s any) bool { return fmt.Sprint(s) == strconv.Itoa(x.Status) }) {
			return []error{fmt.Errorf("the status is not described: %s", clip(x.Content))}
		}
	}
	var all []error
	headers := d.at(r, "headers")
	for name, h := range headers.each() {
		h = d.follow(h)
		got := x.Answer.Values(name)
		switch {
		case len(got) > 0:
			all = append(all, explain(d.valid(d.at(h, "schema"), true, decode(d.at(h, "schema").object, got[0])), "the header "+name))
		case h.object["required"] == true:
			all = append(all, fmt.Errorf("the header %s is not there", name))
		}
	}
	for name := range x.Answer {
		known := slices.Contains(everywhere, name)
		for described := range headers.each() {
			known = known || strings.EqualFold(described, name)
		}
		if !known {
			all = append(all, fmt.Errorf("the header %s is not described", name))
		}
	}
	all = append(all, d.content(r, x)...)
	return slices.DeleteFunc(all, func(err error) bool { return err == nil })
}

// content holds what an answer says.
func (d *Document) content(r node, x *Exchange) []error {
	content := d.at(r, "content")
	if content.object == nil {
		if len(x.Content) > 0 {
			return []error{fmt.Errorf("there is content, and none is described: %s", clip(x.Content))}
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(x.Answer.Get("Content-Type"))
	if err != nil {
		return []error{fmt.Errorf("the content type is %q", x.Answer.Get("Content-Type"))}
	}
	media := d.at(content, kind)
	switch {
	case media.object == nil:
		return []error{fmt.Errorf("content of %s is not described", kind)}
	case x.Method == http.MethodHead:
		return nil
	case kind == "text/event-stream":
		return d.events(d.at(media, "x-agentapi-events"), x)
	case kind == "application/x-ndjson" && !x.Cut:
		for line := range bytes.Lines(x.Content) {
			if !json.Valid(line) {
				return []error{fmt.Errorf("a line is no JSON: %s", clip(line))}
			}
		}
		return nil
	case x.Cut || !strings.HasSuffix(kind, "json"):
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(x.Content))
	if err == nil {
		err = d.valid(d.at(media, "schema"), x.passedOn(), v)
	}
	if err = explain(err, "the answer"); err != nil {
		return []error{err}
	}
	return nil
}

// passedOn tells whether an answer may hold what a provider says: those of the demo
// agent are wholly ours.
func (x *Exchange) passedOn() bool { return x.Answer.Get("X-Agentapi-Agent") != "demo" }

// eventID is the line that names an event of a stream that can be resumed.
var eventID = regexp.MustCompile(`^id: chatcmpl-[0-9A-Za-z_-]+\.[1-9][0-9]*\n$`)

// events holds each event of a stream.
func (d *Document) events(schema node, x *Exchange) (all []error) {
	whole := bytes.Split(x.Content, []byte("\n\n"))
	if last := whole[len(whole)-1]; len(last) > 0 && !x.Cut {
		all = append(all, fmt.Errorf("the stream ends within an event: %s", clip(last)))
	}
	over := false
	for _, event := range whole[:len(whole)-1] {
		for line := range bytes.Lines(event) {
			data, is := bytes.CutPrefix(bytes.TrimRight(line, "\n"), []byte("data: "))
			switch {
			case bytes.HasPrefix(line, []byte(":")), eventID.Match(line):
			case !is:
				all = append(all, fmt.Errorf("a line of the stream is %s", clip(line)))
			case over:
				all = append(all, fmt.Errorf("after the end of the stream comes %s", clip(line)))
			case string(data) == "[DONE]":
				over = true
			default:
				v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
				if err == nil {
					err = d.valid(schema, x.passedOn(), v)
				}
				if err = explain(err, "an event"); err != nil {
					all = append(all, err)
				}
				over = bytes.HasPrefix(data, []byte(`{"error":`))
			}
		}
	}
	if !over && !x.Cut {
		all = append(all, errors.New("the stream ends with neither [DONE] nor an error"))
	}
	return all
}

// explain says what differs in few words.
func explain(err error, what string) error {
	if err == nil {
		return nil
	}
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return fmt.Errorf("%s: %w", what, err)
	}
	text := v.Error()
	if _, rest, cut := strings.Cut(text, "\n"); cut {
		text = strings.Join(strings.Fields(rest), " ")
	}
	return fmt.Errorf("%s: %s", what, clip([]byte(text)))
}

func clip(text []byte) string {
	const most = 600
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

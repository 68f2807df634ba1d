// Package scim is SCIM 2.0 (RFC 7643 and 7644), by which an identity provider
// provisions the organisation of its key. Providers send more than they need to and
// spell it in their own ways: what is not kept is passed over, as the RFC lets a
// server do, and names are matched whatever their case.
package scim

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/provision"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/domain/tenancy"
)

// Base is the path under which all of it stands.
const Base = "/scim/v2"

// mime is the type of bodies.
const mime = "application/scim+json"

// The bounds of a list.
const (
	defaultCount = 100
	maxCount     = 200
	maxListed    = 10_000 // members of all groups of a page
)

// Names of schemas and messages.
const (
	schemas      = "urn:ietf:params:scim:schemas:core:2.0:"
	userSchema   = schemas + "User"
	groupSchema  = schemas + "Group"
	listResponse = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
)

// Handler serves what is under Base.
type Handler struct {
	Provision *provision.Service
	Base      context.Context
	Limit     time.Duration // for one request
}

func (h *Handler) context(c *fiber.Ctx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(request.Of(c).Within(h.Base), h.Limit)
}

func caller(c *fiber.Ctx) tenancy.Principal { return request.Of(c).Caller }

// meta tells of a resource.
type meta struct {
	Type     string    `json:"resourceType"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"lastModified"`
	Location string    `json:"location"`
	Version  string    `json:"version"`
}

// list is the envelope of all lists.
type list struct {
	Schemas   []string `json:"schemas"`
	Total     int      `json:"totalResults"`
	Start     int      `json:"startIndex"`
	Count     int      `json:"itemsPerPage"`
	Resources []any    `json:"Resources"`
}

// send answers with JSON.
func send(c *fiber.Ctx, status int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fault.Internalf("encoding an answer: %w", err)
	}
	c.Status(status)
	c.Response().Header.SetContentType(mime)
	c.Response().SetBodyRaw(text)
	return nil
}

// resource answers with something that has a version.
func resource(c *fiber.Ctx, status, version int, v any) error {
	c.Set("ETag", rest.ETag(version))
	if c.Method() == http.MethodGet && rest.Known(c, version) {
		c.Status(http.StatusNotModified)
		return nil
	}
	v, err := chosenOf(c, v)
	if err != nil {
		return err
	}
	return send(c, status, v)
}

// versions are those that the request is meant for; nil: any. Weak tags are taken,
// since a version is one whatever its spelling.
func versions(c *fiber.Ctx) []int { return rest.Versions(c, "If-Match", true) }

// sendList answers with a page of a list.
func sendList(c *fiber.Ctx, w window, total int, found []any) error {
	for i, v := range found {
		var err error
		if found[i], err = chosenOf(c, v); err != nil {
			return err
		}
	}
	if found == nil {
		found = []any{}
	}
	return send(c, http.StatusOK, list{[]string{listResponse}, total, w.start, len(found), found})
}

// window is which part of a list is asked for.
type window struct{ start, count int }

// windowOf reads it. What is out of bounds is brought within, as the RFC has it.
func windowOf(c *fiber.Ctx) (w window, err error) {
	w = window{1, defaultCount}
	for name, to := range map[string]*int{"startIndex": &w.start, "count": &w.count} {
		if text := c.Query(name); text != "" {
			if *to, err = strconv.Atoi(text); err != nil {
				return w, fault.Invalidf(name, "invalid_value", "%s must be an integer.", name)
			}
		}
	}
	w.start, w.count = max(w.start, 1), min(max(w.count, 0), maxCount)
	return w, nil
}

// chosenOf leaves of a resource what the query's attributes and excludedAttributes
// choose, by the names of whole attributes; id and schemas are always there.
func chosenOf(c *fiber.Ctx, v any) (any, error) {
	only, not := c.Query("attributes"), c.Query("excludedAttributes")
	if only == "" && not == "" {
		return v, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fault.Internalf("encoding an answer: %w", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fault.Internalf("encoding an answer: %w", err)
	}
	for name := range all {
		switch {
		case name == "id" || name == "schemas":
		case only != "" && !names(only, name), not != "" && names(not, name):
			delete(all, name)
		}
	}
	return all, nil
}

// names tells whether a list of attributes has one, or a part of it.
func names(list, attribute string) bool {
	for item := range strings.SplitSeq(list, ",") {
		name, _, _ := strings.Cut(plain(strings.TrimSpace(item)), ".")
		if strings.EqualFold(name, attribute) {
			return true
		}
	}
	return false
}

// wants tells whether an attribute is to be in the answer.
func wants(c *fiber.Ctx, attribute string) bool {
	only, not := c.Query("attributes"), c.Query("excludedAttributes")
	return (only == "" || names(only, attribute)) && !names(not, attribute)
}

// plain is an attribute's name without its schema.
func plain(name string) string {
	for _, s := range []string{userSchema + ":", groupSchema + ":"} {
		if len(name) > len(s) && strings.EqualFold(name[:len(s)], s) {
			return name[len(s):]
		}
	}
	return name
}

// object is a JSON object by the lower-case names of its members.
type object map[string]any

// body reads the request's object. JSON that two readers could read in two ways is
// refused.
func body(c *fiber.Ctx) (object, error) {
	if !request.IsJSON(c, mime) {
		return nil, fiber.NewError(http.StatusUnsupportedMediaType)
	}
	text := c.Request().Body()
	r := jsontext.NewReader(text)
	_, err := r.Value()
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, request.Syntax(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, fault.Invalidf("", "invalid_syntax", "The request body is not JSON.")
	}
	o, ok := lower(v)
	if !ok {
		return nil, fault.Invalidf("", "invalid_syntax", "The request body must be a JSON object.")
	}
	return o, nil
}

// lower gives an object by the lower-case names of its members, without schemas.
func lower(v any) (object, bool) {
	all, ok := v.(map[string]any)
	o := make(object, len(all))
	for name, value := range all {
		o[strings.ToLower(plain(name))] = value
	}
	return o, ok
}

// text reads a string; null is an empty one.
func text(name string, v any) (string, error) {
	switch s := v.(type) {
	case nil:
		return "", nil
	case string:
		return s, nil
	default:
		return "", fault.Invalidf(name, "invalid_value", "%s must be a string.", name)
	}
}

// boolean reads true or false, which some providers send as text.
func boolean(name string, v any) (bool, error) {
	switch b := v.(type) {
	case bool:
		return b, nil
	case string:
		if strings.EqualFold(b, "true") || strings.EqualFold(b, "false") {
			return strings.EqualFold(b, "true"), nil
		}
	}
	return false, fault.Invalidf(name, "invalid_value", "%s must be true or false.", name)
}

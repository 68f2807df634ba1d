// Package rest is what routes of administration have in common: lists, versions,
// and how bodies and queries are read.
package rest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
	"agentapi/domain/page"
)

// list is the envelope of all lists.
type list struct {
	Object   string   `json:"object"`
	Data     []any    `json:"data"`
	FirstID  *string  `json:"first_id"`
	LastID   *string  `json:"last_id"`
	HasMore  bool     `json:"has_more"`
	Metadata metadata `json:"list_metadata"`
}

type metadata struct {
	Before *string `json:"before"`
	After  *string `json:"after"`
}

// SendList answers with a page whose elements have these ids.
func SendList(c *fiber.Ctx, data []any, ids []string, more bool) error {
	l := list{Object: "list", Data: data, HasMore: more}
	if l.Data == nil {
		l.Data = []any{}
	}
	if n := len(ids); n > 0 {
		l.FirstID, l.LastID = &ids[0], &ids[n-1]
		if more {
			l.Metadata.After = l.LastID
			next := url.Values{}
			for k, v := range c.Queries() {
				if k != "before" && k != "after" {
					next.Set(k, v)
				}
			}
			next.Set("after", ids[n-1])
			c.Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", c.Path(), next.Encode()))
		}
	}
	return Send(c, l)
}

// Send answers with JSON.
func Send(c *fiber.Ctx, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fault.Internalf("encoding an answer: %w", err)
	}
	c.Response().Header.SetContentType("application/json")
	c.Response().SetBodyRaw(text)
	return nil
}

// Query reads the parameters of a list; more is given those that choose what it
// holds, as Parameters' read is.
func Query(c *fiber.Ctx, names string, more func(name, value string) (known bool, err error)) (q page.Query, err error) {
	takes := "limit, after, before and order"
	if names != "" {
		takes += ", and " + names
	}
	err = Parameters(c, takes, func(name, value string) (known bool, err error) {
		switch name {
		case "limit":
			if q.Limit, err = strconv.Atoi(value); err != nil {
				return true, fault.Invalidf("limit", "invalid_type", "limit must be an integer.")
			}
			if q.Limit == 0 {
				q.Limit = -1 // said, and out of range
			}
		case "after":
			q.After = value
		case "before":
			q.Before = value
		case "order":
			if value != "asc" && value != "desc" {
				return true, fault.Invalidf("order", "invalid_value", "order must be asc or desc.")
			}
			q.Desc = value == "desc"
		default:
			if more == nil {
				return false, nil
			}
			return more(name, value)
		}
		return true, nil
	})
	return q, err
}

// Parameters reads the query's parameters; read is given each, and tells whether it
// knows one. Unknown ones and those that come twice, but for lists, whose names end in
// [], are refused: they were meant to do something. names are those that are taken.
func Parameters(c *fiber.Ctx, names string, read func(name, value string) (known bool, err error)) error {
	seen := map[string]bool{}
	for k, v := range c.Context().QueryArgs().All() {
		name, value := string(k), string(v)
		if seen[name] && !strings.HasSuffix(name, "[]") {
			return fault.Invalidf(name, "invalid_value", "The query parameter %s is given twice.", name)
		}
		seen[name] = true
		known, err := read(name, value)
		if err != nil {
			return err
		}
		if !known {
			return fault.New(fault.Invalid, "Unknown query parameter.").WithCode("unknown_parameter").WithHint("This takes " + names + ".")
		}
	}
	return nil
}

// Moment reads a time.
func Moment(name, value string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, value)
	if err != nil || at.IsZero() {
		return at, fault.Invalidf(name, "invalid_type", "%s must be a time such as 2026-01-31T12:00:00Z (RFC 3339).", name).
			WithHint("In a URL a plus sign is written %2B.")
	}
	return at, nil
}

// Versions are those that a header names by their tags; nil where it is absent or
// takes any. What is no tag of ours names none.
func Versions(c *fiber.Ctx, header string, weak bool) []int {
	all := c.Request().Header.PeekAll(header)
	if len(all) == 0 {
		return nil
	}
	found := []int{}
	for _, line := range all {
		for tag := range strings.SplitSeq(string(line), ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" {
				return nil
			}
			if weak {
				tag = strings.TrimPrefix(tag, "W/")
			}
			if n, err := strconv.Atoi(strings.Trim(tag, `"`)); err == nil && tag == ETag(n) {
				found = append(found, n)
			}
		}
	}
	return found
}

// ETag is the tag of a version.
func ETag(version int) string { return `"` + strconv.Itoa(version) + `"` }

// Known tells whether the caller says that it has this version.
func Known(c *fiber.Ctx, version int) bool {
	if len(c.Request().Header.Peek("If-None-Match")) == 0 {
		return false
	}
	tags := Versions(c, "If-None-Match", true)
	return tags == nil || slices.Contains(tags, version)
}

// SendVersion answers with what is in a version, or that the caller has it, where
// the request only reads.
func SendVersion(c *fiber.Ctx, version int, v any) error {
	c.Set("ETag", ETag(version))
	if c.Method() == fiber.MethodGet && Known(c, version) {
		c.Status(fiber.StatusNotModified)
		return nil
	}
	return Send(c, v)
}

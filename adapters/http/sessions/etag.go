package sessions

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/session"
)

// versions are those that a header names by their tags; nil where it is absent or
// takes any. What is no tag of ours names none.
func versions(c *fiber.Ctx, header string, weak bool) []int {
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
			if n, err := strconv.Atoi(strings.Trim(tag, `"`)); err == nil && tag == etag(n) {
				found = append(found, n)
			}
		}
	}
	return found
}

func etag(version int) string { return `"` + strconv.Itoa(version) + `"` }

// sendSession answers with a session and its tag.
func sendSession(c *fiber.Ctx, s *session.Session) error {
	c.Set("ETag", etag(s.Version))
	return send(c, objectOf(s))
}

// known tells whether the caller says that it has the session as it is.
func known(c *fiber.Ctx, s *session.Session) bool {
	if len(c.Request().Header.Peek("If-None-Match")) == 0 {
		return false
	}
	tags := versions(c, "If-None-Match", true)
	return tags == nil || slices.Contains(tags, s.Version)
}

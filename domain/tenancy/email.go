package tenancy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"agentapi/domain/fault"
)

// maxEmail is how many bytes an address has at most (RFC 5321).
const maxEmail = 254

// CheckEmail refuses what is no e-mail address. Whether it is anybody's, nobody can
// tell but who logs in by it.
func CheckEmail(param, s string) error {
	name, host, _ := strings.Cut(s, "@")
	if name == "" || host == "" || len(s) > maxEmail || !utf8.ValidString(s) || strings.Contains(host, "@") ||
		strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fault.Invalidf(param, "invalid_value", "%s must be an e-mail address such as ann@example.com.", param)
	}
	return nil
}

// FoldEmail is an address as it is compared: the letters from A to Z in lower case
// and no others, since those that some rules take for the same as an ASCII letter
// are somebody else's address.
func FoldEmail(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

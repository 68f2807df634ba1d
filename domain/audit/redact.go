package audit

import (
	"strings"
	"unicode/utf8"
)

// signs are how secrets begin, of ours and of others.
var signs = []string{
	"sk-", "rk-", "Bearer ", "bearer ", "Basic ", "eyJ", "-----BEGIN", "AKIA", "ASIA", "AIza", "ya29.", "ghp_", "gho_", "ghs_", "github_pat_",
	"xoxb-", "xoxp-", "glpat-", "password=", "passwd=", "secret=", "api_key=", "apikey=", "token=",
}

// secretLength is how long what follows a sign is at least: a short thing that only
// begins alike is a word, not a secret.
const secretLength = 12

// beginning has the signs by their first byte, so that most of a text is passed over at
// once.
var beginning = func() (by [256][]string) {
	for _, s := range signs {
		by[s[0]] = append(by[s[0]], s)
	}
	return by
}()

// secretLooking tells whether a text holds what looks like a credential. It would
// rather refuse too much: entries are made of ids, numbers and words of ours.
func secretLooking(s string) bool {
	for i := 0; i+secretLength < len(s); i++ {
		for _, sign := range beginning[s[i]] {
			if i+len(sign)+secretLength <= len(s) && strings.HasPrefix(s[i:], sign) && (i == 0 || !alnum(s[i-1]) || !alnum(s[i])) {
				return true
			}
		}
	}
	// A password in an address.
	if _, rest, ok := strings.Cut(s, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		if who, _, at := strings.Cut(host, "@"); at && strings.Contains(who, ":") {
			return true
		}
	}
	return false
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// unfit says why a text cannot stand in an entry; "": it can.
func unfit(s string) string {
	if len(s) > MaxText {
		return "holds a text that is too long"
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return "holds a control character"
		}
	}
	if !utf8.ValidString(s) {
		return "holds what is no text"
	}
	if secretLooking(s) {
		return "holds what looks like a secret"
	}
	return ""
}

// Clip makes a text of somebody else's fit to stand in an entry: it is cut, and
// what cannot stand in one is taken out.
func Clip(s string) string {
	if unfit(s) == "" {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, s[:min(len(s), 2*MaxText)])
	for len(s) > MaxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	if secretLooking(s) {
		return "(withheld)"
	}
	return s
}

// word tells a name of a detail: lower-case letters, digits and underscores.
func word(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && c != '_') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

package oidc

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"agentapi/domain/jsontext"
)

// What a token may weigh.
const (
	maxToken = 16 << 10
	maxName  = 255
)

// token is a JWT that was taken apart, and not believed.
type token struct {
	raw     string
	header  members
	payload members
}

// members are an object's members, undecoded.
type members map[string][]byte

var errNoJWT = errors.New("it is no JWT: three parts of base64url with dots between, the first a JSON object with an alg")

// isJWT tells whether a credential is of the kind that is checked here.
func isJWT(bearer string) bool {
	head, rest, _ := strings.Cut(bearer, ".")
	if len(bearer) > maxToken || strings.Count(rest, ".") != 1 {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(head)
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(text)), "{") && strings.Contains(string(text), `"alg"`)
}

// take takes a JWT apart, strictly: a text that two readers could read in two
// ways is refused.
func take(bearer string) (*token, error) {
	if !isJWT(bearer) {
		return nil, errNoJWT
	}
	parts := strings.Split(bearer, ".")
	t := &token{raw: bearer}
	for i, into := range []*members{&t.header, &t.payload, nil} {
		text, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil || strings.ContainsAny(parts[i], "\r\n") {
			return nil, fmt.Errorf("its part %d is not base64url", i+1)
		}
		if into == nil {
			continue
		}
		if *into, err = object(text); err != nil {
			return nil, fmt.Errorf("its part %d: %w", i+1, err)
		}
	}
	return t, nil
}

func object(text []byte) (members, error) {
	out := members{}
	r := jsontext.NewReader(text)
	err := r.Object(func(name []byte) error {
		key := string(name)
		value, err := r.Value()
		out[key] = value
		return err
	})
	if err == nil {
		err = r.End()
	}
	return out, err
}

// text gives a member that is a string; empty if it is absent or null.
func (m members) text(name string) (string, error) {
	raw, ok := m[name]
	if !ok || string(raw) == "null" {
		return "", nil
	}
	s, err := jsontext.NewReader(raw).String()
	if err != nil {
		return "", fmt.Errorf("%s is not a string", name)
	}
	return s, nil
}

// name gives a member that names somebody.
func (m members) name(name string) (string, error) {
	s, err := m.text(name)
	if err == nil && (len(s) > maxName || strings.ContainsFunc(s, unicode.IsControl) || s != strings.TrimSpace(s)) {
		return "", fmt.Errorf("%s is longer than %d bytes, or has control characters or space around it", name, maxName)
	}
	return s, err
}

// list gives a member that is a list of strings; nil if it is absent or null.
func (m members) list(name string) ([]string, error) {
	raw, ok := m[name]
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	var out []string
	r := jsontext.NewReader(raw)
	err := r.Array(func(int) error {
		s, err := r.String()
		out = append(out, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s is not a list of strings", name)
	}
	return out, nil
}

// oneOrMany gives a member that is a string or a list of them, as aud is.
func (m members) oneOrMany(name string) ([]string, error) {
	if raw := m[name]; len(raw) > 0 && raw[0] == '"' {
		s, err := m.text(name)
		return []string{s}, err
	}
	return m.list(name)
}

// time gives a member that is a time; zero if it is absent.
func (m members) time(name string) (time.Time, error) {
	raw, ok := m[name]
	if !ok {
		return time.Time{}, nil
	}
	text, err := jsontext.NewReader(raw).Number()
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is not a number", name)
	}
	seconds, err := strconv.ParseFloat(string(text), 64)
	if err != nil || seconds < 1 || seconds > math.MaxInt32*4 {
		return time.Time{}, fmt.Errorf("%s is not a time", name)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

// has tells which of names is a member.
func (m members) has(names ...string) string {
	for _, n := range names {
		if m[n] != nil {
			return n
		}
	}
	return ""
}

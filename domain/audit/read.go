package audit

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"agentapi/domain/tenancy"
)

var errForm = errors.New("an entry is not in its canonical form")

// Read gives what canonical bytes say; an error where they are not canonical. They
// are read as they must be written, so that nothing need be encoded again.
func Read(canon []byte) (Said, error) {
	var s Said
	r := reader{rest: string(canon), details: make(map[string]string), personal: make(map[string]string)}
	err := r.entry(&s)
	if len(r.details) > 0 {
		s.Details = r.details
	}
	if len(r.personal) > 0 {
		s.Personal = r.personal
	}
	return s, err
}

// reader reads canonical bytes from the beginning on.
type reader struct {
	rest              string
	bad               bool
	details, personal map[string]string // nil: they are not wanted
}

func (r *reader) entry(s *Said) error {
	if !utf8.ValidString(r.rest) {
		return errForm
	}
	var (
		id, org, before string
		err             error
	)
	r.must(`{"action":`)
	s.Action = Action(r.text())
	r.must(`,"actor":`)
	s.Actor = r.text()
	r.must(`,"at":`)
	s.AtMicros = r.signed()
	if r.may(`,"details":{`) {
		r.pairs(r.details)
	}
	r.must(`,"id":`)
	id = r.text()
	r.must(`,"instance":`)
	s.Instance = r.text()
	if r.may(`,"org":`) {
		org = r.text()
		r.must(`,"org_prev":`)
		before = r.text()
		r.must(`,"org_seq":`)
		s.OrgSeq = r.number()
	}
	r.must(`,"outcome":`)
	s.Outcome = Outcome(r.text())
	if r.may(`,"personal":{`) {
		r.pairs(r.personal)
	}
	if r.may(`,"request":`) {
		s.Request = r.filled()
	}
	if r.may(`,"target":`) {
		s.Target = r.filled()
	}
	r.must(`,"v":` + strconv.Itoa(version) + `}`)
	if r.bad || r.rest != "" {
		return errForm
	}
	if s.ID, err = ParseID(id); err != nil || strings.Contains(id, "_") {
		return errForm
	}
	if org == "" {
		return nil
	}
	if s.Org, err = tenancy.ParseOrgID(org); err != nil || strings.Contains(org, "_") {
		return errForm
	}
	s.Place.Seq = s.OrgSeq
	if len(before) != hex.EncodedLen(len(s.Place.Prev)) || s.OrgSeq == 0 {
		return errForm
	}
	for i := range before {
		if c := before[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errForm
		}
		if i%2 == 1 {
			s.Place.Prev[i/2] = digit(before[i-1])<<4 | digit(before[i])
		}
	}
	return nil
}

func digit(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// may reads what may come next, must what has to.
func (r *reader) may(text string) (ok bool) {
	r.rest, ok = strings.CutPrefix(r.rest, text)
	return ok
}

func (r *reader) must(text string) { r.bad = !r.may(text) || r.bad }

// text reads a string.
func (r *reader) text() string {
	r.must(`"`)
	escaped := false
	for i := 0; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			s := r.rest[:i]
			if r.rest = r.rest[i+1:]; escaped {
				s = unescape.Replace(s)
			}
			return s
		case c == '\\':
			if i++; i == len(r.rest) || r.rest[i] != '"' && r.rest[i] != '\\' {
				r.bad = true
				return ""
			}
			escaped = true
		case c < ' ':
			r.bad = true
			return ""
		}
	}
	r.bad = true
	return ""
}

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

// filled reads a string that is left out where it is empty.
func (r *reader) filled() string {
	s := r.text()
	r.bad = r.bad || s == ""
	return s
}

func (r *reader) signed() int64 {
	negative := r.may("-")
	n := int64(r.number())
	if negative {
		r.bad = r.bad || n == 0
		return -n
	}
	return n
}

// number reads digits, which must be as few as can be.
func (r *reader) number() uint64 {
	i := 0
	for i < len(r.rest) && r.rest[i] >= '0' && r.rest[i] <= '9' {
		i++
	}
	n, err := strconv.ParseUint(r.rest[:i], 10, 63)
	r.bad = r.bad || err != nil || i > 1 && r.rest[0] == '0'
	r.rest = r.rest[i:]
	return n
}

// pairs reads the rest of an object that is not empty, in order, into to.
func (r *reader) pairs(to map[string]string) {
	last := ""
	for n := 0; !r.bad; n++ {
		name := r.text()
		r.must(`:`)
		text := r.text()
		r.bad = r.bad || n > 0 && name <= last
		if last = name; to != nil {
			to[name] = text
		}
		if r.may(`}`) {
			return
		}
		r.must(`,`)
	}
}

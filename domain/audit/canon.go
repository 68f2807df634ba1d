package audit

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentapi/domain/tenancy"
)

// version is of the canonical form.
const version = 1

// usual is more than the canonical bytes of most entries.
const usual = 768

// encode writes the entry's canonical bytes, all but its place.
func (e *Entry) encode(details, commitments []pair) {
	var small [usual]byte
	c, b := &e.columns, small[:0]
	b = append(b, `{"action":`...)
	b = appendString(b, string(c.Action))
	b = append(b, `,"actor":`...)
	b = appendString(b, c.Actor)
	b = append(b, `,"at":`...)
	b = strconv.AppendInt(b, c.AtMicros, 10)
	b = appendPairs(b, "details", details)
	b = append(b, `,"id":"`...)
	b = c.ID.AppendUUID(b)
	b = append(b, `","instance":`...)
	b = appendString(b, c.Instance)
	if !c.Org.IsZero() {
		b = append(b, `,"org":"`...)
		b = append(c.Org.AppendUUID(b), '"')
	}
	e.split = len(b)
	b = append(b, `,"outcome":`...)
	b = appendString(b, string(c.Outcome))
	b = appendPairs(b, "personal", commitments)
	if c.Request != "" {
		b = append(b, `,"request":`...)
		b = appendString(b, c.Request)
	}
	if c.Target != "" {
		b = append(b, `,"target":`...)
		b = appendString(b, c.Target)
	}
	b = append(b, `,"v":`...)
	b = strconv.AppendInt(b, version, 10)
	e.canon = append(make([]byte, 0, len(b)+1), append(b, '}')...)
}

// Parts gives the canonical bytes up to where the organisation's place in the
// chain stands, and after it: Place goes between. They must not be changed.
func (e Entry) Parts() (head, tail []byte) { return e.canon[:e.split:e.split], e.canon[e.split:] }

// Place is what an organisation's entry says of its place among the
// organisation's own entries.
type Place struct {
	Seq  uint64   // 1 for the first
	Prev [32]byte // the hash of the one before; zero for the first
}

func (p Place) append(b []byte) []byte {
	b = append(b, `,"org_prev":"`...)
	b = hex.AppendEncode(b, p.Prev[:])
	b = append(b, `","org_seq":`...)
	return strconv.AppendUint(b, p.Seq, 10)
}

// appendCanon appends the canonical bytes.
func (e *Entry) appendCanon(b []byte, p Place) []byte {
	b = append(b, e.canon[:e.split]...)
	if !e.columns.Org.IsZero() {
		b = p.append(b)
	}
	return append(b, e.canon[e.split:]...)
}

// pair is a name and what is said under it.
type pair struct{ name, text string }

// sorted appends what a map holds, by name.
func sorted(to []pair, from map[string]string) []pair {
	for name, text := range from {
		to = append(to, pair{name, text})
	}
	slices.SortFunc(to, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return to
}

func appendPairs(b []byte, name string, pairs []pair) []byte {
	if len(pairs) == 0 {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":{`...)
	for i, p := range pairs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, p.name)
		b = append(b, ':')
		b = appendString(b, p.text)
	}
	return append(b, '}')
}

// appendString writes a string as RFC 8785 does. There are no control characters
// in it, and it is UTF-8.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	done := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(append(b, s[done:i]...), '\\')
			done = i
		}
	}
	return append(append(b, s[done:]...), '"')
}

// Said is what canonical bytes say, for whoever reads the log.
type Said struct {
	Columns
	Place    Place
	Details  map[string]string
	Personal map[string]string // commitments
}

// Columns are the parts of an entry that stand beside its canonical bytes, to be
// asked for. They are copies: the truth is in the bytes.
type Columns struct {
	ID       ID
	Org      tenancy.OrgID
	OrgSeq   uint64
	AtMicros int64
	Actor    string
	Action   Action
	Target   string
	Outcome  Outcome
	Request  string
	Instance string
}

// At is when it happened, in UTC.
func (c Columns) At() time.Time { return time.UnixMicro(c.AtMicros).UTC() }

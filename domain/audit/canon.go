package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"agentapi/domain/tenancy"
)

// version is of the canonical form.
const version = 1

// Parts gives the canonical bytes of e up to where the organisation's place in the
// chain stands, and after it: Place goes between.
func (e Entry) Parts() (head, tail []byte) {
	f := &e.fields
	head = make([]byte, 0, 256)
	head = append(head, `{"action":`...)
	head = appendString(head, string(f.Action))
	head = append(head, `,"actor":`...)
	head = appendString(head, f.Actor)
	head = append(head, `,"at":`...)
	head = strconv.AppendInt(head, f.At.UnixMicro(), 10)
	head = appendPairs(head, "details", f.Details)
	head = append(head, `,"id":`...)
	head = appendString(head, f.ID.UUID())
	head = append(head, `,"instance":`...)
	head = appendString(head, f.Instance)
	if !f.Org.IsZero() {
		head = append(head, `,"org":`...)
		head = appendString(head, f.Org.UUID())
	}
	tail = make([]byte, 0, 256)
	tail = append(tail, `,"outcome":`...)
	tail = appendString(tail, string(f.Outcome))
	tail = appendPairs(tail, "personal", e.commitments)
	if f.Request != "" {
		tail = append(tail, `,"request":`...)
		tail = appendString(tail, f.Request)
	}
	if f.Target != "" {
		tail = append(tail, `,"target":`...)
		tail = appendString(tail, f.Target)
	}
	tail = append(tail, `,"v":`...)
	tail = strconv.AppendInt(tail, version, 10)
	return head, append(tail, '}')
}

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

// canon gives the canonical bytes.
func (e Entry) canon(p Place) []byte {
	head, tail := e.Parts()
	if !e.fields.Org.IsZero() {
		head = p.append(head)
	}
	return append(head, tail...)
}

func appendPairs(b []byte, name string, pairs map[string]string) []byte {
	if len(pairs) == 0 {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":{`...)
	for i, k := range slices.Sorted(maps.Keys(pairs)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendString(b, pairs[k])
	}
	return append(b, '}')
}

// appendString writes a string as RFC 8785 does. There are no control characters
// in it, and it is UTF-8.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
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

type form struct {
	Action   Action            `json:"action"`
	Actor    string            `json:"actor"`
	At       int64             `json:"at"`
	Details  map[string]string `json:"details"`
	ID       string            `json:"id"`
	Instance string            `json:"instance"`
	Org      string            `json:"org"`
	OrgPrev  string            `json:"org_prev"`
	OrgSeq   uint64            `json:"org_seq"`
	Outcome  Outcome           `json:"outcome"`
	Personal map[string]string `json:"personal"`
	Request  string            `json:"request"`
	Target   string            `json:"target"`
}

// Read gives what canonical bytes say; an error where they are not canonical.
func Read(canon []byte) (Said, error) {
	var (
		f   form
		s   Said
		err error
	)
	if err := json.Unmarshal(canon, &f); err != nil {
		return s, err
	}
	s = Said{Details: f.Details, Personal: f.Personal, Columns: Columns{
		OrgSeq: f.OrgSeq, AtMicros: f.At, Actor: f.Actor, Action: f.Action, Target: f.Target, Outcome: f.Outcome, Request: f.Request, Instance: f.Instance,
	}}
	if s.ID, err = ParseID(f.ID); err != nil {
		return s, err
	}
	if f.Org != "" {
		if s.Org, err = tenancy.ParseOrgID(f.Org); err != nil {
			return s, err
		}
		s.Place.Seq = f.OrgSeq
		if n, err := hex.Decode(s.Place.Prev[:], []byte(f.OrgPrev)); err != nil || n != len(s.Place.Prev) || f.OrgSeq == 0 {
			return s, fmt.Errorf("an entry has no place among its organisation's")
		}
	}
	again := Entry{commitments: f.Personal, fields: Fields{
		ID: s.ID, Org: s.Org, Actor: f.Actor, Action: f.Action, Target: f.Target, Outcome: f.Outcome, Request: f.Request, Instance: f.Instance,
		At: time.UnixMicro(f.At), Details: f.Details,
	}}
	if !bytes.Equal(again.canon(s.Place), canon) {
		return s, fmt.Errorf("an entry is not in its canonical form")
	}
	return s, nil
}

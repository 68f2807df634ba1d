// Package audit is the log of who did what: entries that are chained by hashes,
// so that a change of one shows, and signed checkpoints of the chain, so that a
// new chain in its place shows too. Its README has the format.
package audit

import (
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
)

type entryKind struct{}

func (entryKind) Prefix() string { return "aud" }

// ID identifies an entry.
type ID = id.ID[entryKind]

// NewID makes an entry's id for the moment at.
func NewID(at time.Time, rand [10]byte) ID { return id.New[entryKind](at, rand) }

// ParseID reads an entry's id in either spelling.
func ParseID(s string) (ID, error) { return id.Parse[entryKind](s) }

// Who acts where no user does.
const (
	System   = "system"   // the server by itself
	Operator = "operator" // who runs commands beside the storage
)

// What an entry holds at most.
const (
	MaxText    = 256 // bytes of a text
	MaxDetails = 16  // pairs
)

// Fields is what an entry says. It holds no name, no address and no text of a
// person: Actor is a pseudonym or one of the names above, and what is in Personal
// becomes a commitment.
type Fields struct {
	ID       ID
	Org      tenancy.OrgID // zero: it is the platform's
	Actor    string
	Action   Action
	Target   string // what it was done to
	Outcome  Outcome
	Request  string
	Instance string // the server process
	At       time.Time
	Details  map[string]string
	// Personal are values of a person's, such as an address, under a word for what
	// they are. Subject is whose they are.
	Personal map[string]string
	Subject  Subject
}

// Entry is what is appended to the log. It is immutable; New makes one.
type Entry struct {
	columns Columns // without its place
	canon   []byte  // its canonical bytes without its place, which goes in at split
	split   int
	values  []Value
}

// New makes an entry. fault.Internal: it lacks something, holds too much, or what
// looks like a secret.
func New(f Fields) (Entry, error) {
	f.At = f.At.UTC().Truncate(time.Microsecond)
	var small [MaxDetails]pair
	details := sorted(small[:0], f.Details)
	if err := f.check(details); err != nil {
		return Entry{}, err
	}
	e := Entry{columns: Columns{
		ID: f.ID, Org: f.Org, AtMicros: f.At.UnixMicro(), Actor: f.Actor, Action: f.Action, Target: f.Target, Outcome: f.Outcome,
		Request: f.Request, Instance: f.Instance,
	}}
	var commitments map[string]string
	if len(f.Personal) > 0 {
		commitments = make(map[string]string, len(f.Personal))
		for name, value := range f.Personal {
			c := f.Subject.Commit(value)
			commitments[name] = c
			e.values = append(e.values, Value{Subject: f.Subject.ID, Name: name, Commitment: c, Clear: value})
		}
	}
	e.encode(details, sorted(nil, commitments))
	return e, nil
}

// IsZero tells whether e says nothing.
func (e Entry) IsZero() bool { return e.columns.ID.IsZero() }

// ID identifies the entry.
func (e Entry) ID() ID { return e.columns.ID }

// Org is the organisation that the entry is about; zero: the platform.
func (e Entry) Org() tenancy.OrgID { return e.columns.Org }

// Values are the personal values that the entry has commitments of. They must not
// be changed.
func (e Entry) Values() []Value { return e.values }

func (f *Fields) check(details []pair) error {
	bad := func(what string) error { return fault.Internalf("audit: an entry %s", what) }
	switch {
	case f.ID.IsZero():
		return bad("has no id")
	case !f.Action.known():
		return bad("has an action that is not in the list")
	case !f.Outcome.known():
		return bad("has no outcome")
	case f.Actor == "" || f.Instance == "" || f.At.Unix() <= 0:
		return bad("lacks its actor, instance or time")
	case len(details) > MaxDetails || len(f.Personal) > MaxDetails:
		return bad("has too many details")
	case len(f.Personal) > 0 && f.Subject.ID.IsZero():
		return bad("has personal values of nobody")
	}
	for _, text := range [...]string{f.Actor, f.Target, f.Request, f.Instance} {
		if why := unfit(text); why != "" {
			return bad(why)
		}
	}
	for _, d := range details {
		if why := unfit(d.text); why != "" {
			return bad("has a detail " + d.name + " and " + why)
		}
		if !word(d.name) {
			return bad("has a detail without a proper name")
		}
	}
	for name, text := range f.Personal {
		if !word(name) || len(text) > 4*MaxText {
			return bad("has a personal value without a proper name, or a long one")
		}
	}
	return nil
}

package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"agentapi/domain/id"
	"agentapi/domain/tenancy"
)

type subjectKind struct{}

func (subjectKind) Prefix() string { return "subject" }

// SubjectID is the pseudonym of a user in the log. It is random: once the record
// that names the user is erased, it leads nowhere.
type SubjectID = id.ID[subjectKind]

// ParseSubjectID reads a pseudonym in either spelling.
func ParseSubjectID(s string) (SubjectID, error) { return id.Parse[subjectKind](s) }

// Subject is a user's pseudonym and the salt of the commitments to their values.
type Subject struct {
	ID   SubjectID
	Salt [32]byte
}

// Known is a pseudonym and who is meant by it.
type Known struct {
	Subject SubjectID
	User    tenancy.UserID
}

// NewSubject makes a pseudonym for the moment at, with entropy from rand.
func NewSubject(at time.Time, rand [42]byte) Subject {
	return Subject{ID: id.New[subjectKind](at, [10]byte(rand[:10])), Salt: [32]byte(rand[10:])}
}

// Commit gives HMAC-SHA-256 of a value with the subject's salt, in hexadecimal.
// Whoever has the salt can show that an entry is about the value; without it
// nobody can tell or guess.
func (s Subject) Commit(value string) string {
	mac := hmac.New(sha256.New, s.Salt[:])
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

// Own gives how something of the subject's stands as an entry's target: what it
// is, and a commitment to its id.
func (s Subject) Own(what, id string) string { return what + ":" + s.Commit(id)[:32] }

// Value is a personal value in clear, beside the commitment that the chain has.
type Value struct {
	Subject    SubjectID
	Name       string
	Commitment string
	Clear      string
}

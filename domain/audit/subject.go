package audit

import (
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
	sum := s.mac(value)
	return hex.EncodeToString(sum[:])
}

// mac is HMAC-SHA-256 (RFC 2104), written out: each request has one, and the
// library's allocates twelve times as much as the two hashes take.
func (s Subject) mac(value string) [sha256.Size]byte {
	var small [sha256.BlockSize + 128]byte
	inner := append(s.pad(small[:0], 0x36), value...)
	sum := sha256.Sum256(inner)
	return sha256.Sum256(append(s.pad(small[:0], 0x5c), sum[:]...))
}

// pad writes the salt, filled up to a block, with each byte changed by x.
func (s Subject) pad(b []byte, x byte) []byte {
	for _, c := range s.Salt {
		b = append(b, c^x)
	}
	for range sha256.BlockSize - len(s.Salt) {
		b = append(b, x)
	}
	return b
}

// Own gives how something of the subject's stands as an entry's target: what it
// is, and a commitment to its id.
func (s Subject) Own(what, id string) string {
	sum := s.mac(id)
	var small [96]byte
	b := append(append(small[:0], what...), ':')
	return string(hex.AppendEncode(b, sum[:16]))
}

// Value is a personal value in clear, beside the commitment that the chain has.
type Value struct {
	Subject    SubjectID
	Name       string
	Commitment string
	Clear      string
}

// Package session is about conversations that are kept.
package session

import (
	"strings"
	"time"
	"unicode/utf8"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
)

type (
	sessionKind struct{}
	turnKind    struct{}

	// ID identifies a session; it is shown as sess_….
	ID = id.ID[sessionKind]
	// TurnID identifies a stored message; it is shown as msg_….
	TurnID = id.ID[turnKind]
)

func (sessionKind) Prefix() string { return "sess" }
func (turnKind) Prefix() string    { return "msg" }

// NewID makes a session's id for the moment at.
func NewID(at time.Time, rand [10]byte) ID { return id.New[sessionKind](at, rand) }

// ParseID reads a session's id in either spelling.
func ParseID(s string) (ID, error) { return id.Parse[sessionKind](s) }

// NewTurnID makes a turn's id for the moment at.
func NewTurnID(at time.Time, rand [10]byte) TurnID { return id.New[turnKind](at, rand) }

// ParseTurnID reads a turn's id in either spelling.
func ParseTurnID(s string) (TurnID, error) { return id.Parse[turnKind](s) }

// MaxKey is the longest conversation key in characters.
const MaxKey = 128

// Key is a conversation key of the client's own: an opaque value, unique for
// the user and the source that it came from (a header's or field's name).
type Key struct {
	Source string
	Value  string
}

// IsZero tells whether there is no key.
func (k Key) IsZero() bool { return k.Value == "" }

// Session is a stored conversation. Organisation and owner never change. It is
// a plain value: repositories return copies, made by Clone.
type Session struct {
	ID     ID
	Org    tenancy.OrgID
	User   tenancy.UserID
	Key    Key // zero: the client gave none
	Title  string
	Agent  agent.Name // the agent and model of the last turn
	Model  string
	Native string // that agent's own session id, if it has sessions
	Turns  int    // how many turns are stored; the last one's sequence number
	// Metadata are pairs of the owner's own; nil where there are none.
	Metadata map[string]string
	Archived bool // it is out of the way, and takes no new turns
	Version  int  // 1 at first; every stored change raises it
	Created  time.Time
	Updated  time.Time
}

// New opens a session of the scope's user at the moment at.
func New(sid ID, in tenancy.Scope, key Key, at time.Time) *Session {
	at = Moment(at)
	return &Session{ID: sid, Org: in.Org(), User: in.User(), Key: key, Version: 1, Created: at, Updated: at}
}

// Moment cuts a time to what every storage keeps: microseconds, in UTC.
func Moment(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }

// Turn is one stored message of a session.
type Turn struct {
	ID        TurnID
	Seq       int // 1 for the first turn, without gaps; set by the storage
	Message   chat.Message
	Agent     agent.Name // of an assistant's turn: who answered, and as which model
	Model     string
	Native    string // that agent's own session id, if it has sessions
	Finish    chat.FinishReason
	TokensIn  int
	TokensOut int
	Request   string // the id of the request that it came with
	Store     bool   // the client asked that the completion be kept for retrieval
	Created   time.Time
}

// Answered gives the last turn where it says which agent answered: what was said
// last is the session's, too.
func Answered(turns []Turn) (last *Turn, ok bool) {
	if len(turns) == 0 || turns[len(turns)-1].Agent == "" {
		return nil, false
	}
	return &turns[len(turns)-1], true
}

// Title makes a session's title of its first message: the first line, at most
// 80 characters, cut at a word where there is one. White space is folded, and
// control characters count as such.
func Title(text string) string {
	const (
		most   = 80
		window = 8 * most // bytes that are looked at; a prompt may be large
	)
	text = strings.TrimLeft(text[:min(len(text), window)], " \t\r\n")
	var (
		out         = make([]byte, 0, most+8)
		runes, word int // runes in out, and where its last whole word ends
		cut         int // where it ends where one rune has to make room
		space       bool
	)
	for _, r := range text {
		if r == '\n' {
			break
		}
		if r <= ' ' || r == 0x7f || r == utf8.RuneError {
			space = len(out) > 0
			continue
		}
		if space {
			word, runes, space = len(out), runes+1, false
			out = append(out, ' ')
		}
		out = utf8.AppendRune(out, r)
		if runes++; runes < most {
			cut = len(out)
		}
		if runes > most {
			if word > most/2 && word <= cut {
				cut = word
			}
			return string(append(out[:cut], "…"...))
		}
	}
	return string(out)
}

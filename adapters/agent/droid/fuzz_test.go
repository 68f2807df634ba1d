package droid

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"agentapi/domain/chat"
)

// Whatever a program writes, its lines are understood or passed over. The seeds
// were recorded of droid 0.215.0.
func FuzzLinesNeverBreakTheParser(f *testing.F) {
	text, err := os.ReadFile("testdata/turn.ndjson")
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if strings.Contains(string(line), `"request"`) {
			t.Skip("a request is answered, which needs a program")
		}
		p := &program{notes: make(chan note, 1), quit: make(chan struct{})}
		p.turn.Store(true)
		p.hear(line)
		select {
		case n := <-p.notes:
			turn := turn{yield: func(e chat.Event, err error) bool {
				if err != nil || !utf8.ValidString(e.Text) {
					t.Errorf("got %+v, %v", e, err)
				}
				return true
			}}
			if n.Type != "error" && n.Type != "agent_turn_completed" { // these ask the relay
				_, _, _ = turn.hear(n) // whatever it is, it is told as an event
			}
		default:
		}
	})
}

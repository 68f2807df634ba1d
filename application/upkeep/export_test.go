package upkeep

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/retention"
	"agentapi/domain/session"
	"agentapi/domain/usage"
)

func TestAnExportHoldsAllThatIsAUsers(t *testing.T) {
	s, _, in := build(t, retention.Policies{})
	const sessions = 120 // more than a page
	for i := range sessions {
		unique := [10]byte{5: byte(i)}
		v := session.New(session.NewID(time.Now(), unique), in, session.Key{}, time.Now())
		v.Archived = i%2 == 0
		turns := []session.Turn{
			{ID: session.NewTurnID(time.Now(), unique), Message: chat.NewMessage(chat.User, fmt.Sprintf("said %d \u2028 <b>", i)), Created: time.Now()},
			{ID: session.NewTurnID(time.Now(), unique), Created: time.Now(), Message: chat.Message{Role: chat.Assistant, ToolCalls: []chat.ToolCall{{ID: "c", Name: "f", Arguments: "{}"}}}},
		}
		if err := s.Storage.Sessions().Create(t.Context(), in, v, turns...); err != nil {
			t.Fatal(err)
		}
		if err := s.Storage.Usage().Record(t.Context(), in, usage.Record{ID: usage.NewID(time.Now(), unique), Session: v.ID, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	done, err := s.Export(t.Context(), in, &out)
	if err != nil || done.Sessions != sessions || done.Messages != 2*sessions || done.Usage != sessions {
		t.Fatalf("got %+v, %v", done, err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	kinds := map[string]int{}
	for _, line := range lines {
		var l struct{ Kind string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kinds[l.Kind]++
	}
	if kinds["session"] != sessions || kinds["message"] != 2*sessions || kinds["usage"] != sessions || kinds["end"] != 1 {
		t.Errorf("got %v", kinds)
	}
	sum := sha256.Sum256([]byte(strings.Join(lines[:len(lines)-1], "")))
	if !strings.Contains(lines[len(lines)-1], hex.EncodeToString(sum[:])) {
		t.Errorf("the sum is another than in %s", lines[len(lines)-1])
	}
	for i := range sessions {
		if !strings.Contains(out.String(), fmt.Sprintf(`said %d `, i)) {
			t.Errorf("what was said in session %d is not there", i)
		}
	}
}

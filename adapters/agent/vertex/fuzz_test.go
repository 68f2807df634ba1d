package vertex

import (
	"bytes"
	"os"
	"testing"

	"agentapi/adapters/agent/sse"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// Whatever is said, what comes of it keeps the order of events or is refused as
// the agent's fault.
func FuzzTheStreamNeverBreaksTheParser(f *testing.F) {
	text, err := os.ReadFile("testdata/text.sse")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var fold chat.Assembler
		s := stream{agent: &Agent{}, in: sse.NewReader(bytes.NewReader(text), maxLine)}
		s.yield = func(e chat.Event, _ error) bool {
			if err := fold.Add(e); err != nil && !fault.Is(err, fault.Upstream) {
				t.Errorf("%+v: %v", e, err)
			}
			return true
		}
		if err := s.read(); err != nil && fault.As(err) == nil {
			t.Errorf("the error is no fault: %v", err)
		}
	})
}

package ccr

import (
	"bytes"
	"os"
	"testing"

	"agentapi/adapters/agent/sse"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// Whatever a gateway says, what comes of it keeps the order of events or is
// refused as the agent's fault. The seeds were recorded of ccr 2.0.0.
func FuzzTheStreamNeverBreaksTheParser(f *testing.F) {
	for _, name := range []string{"testdata/text.sse", "testdata/tool.sse", "testdata/cut.sse"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var fold chat.Assembler
		s := &stream{in: sse.NewReader(bytes.NewReader(text), maxLine), calls: map[int]*call{}}
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

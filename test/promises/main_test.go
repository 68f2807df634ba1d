package main

import (
	"strings"
	"testing"
)

func TestTheReportNamesWhatWasHeldAndWhatFailed(t *testing.T) {
	const said = `=== RUN   TestOne
=== RUN   TestOne/part
    one_test.go:1: RELIABILITY R9 9000 streams; 0 failed
=== NAME  TestTwo
    two_test.go:1: RELIABILITY R4 5 served | 0 lost
--- PASS: TestOne (1.00s)
`
	for text, want := range map[string]struct {
		well bool
		says []string
	}{
		said: {true, []string{"| R4 | `TestTwo` | 5 served \\| 0 lost |\n| R9 | `TestOne/part` | 9000 streams; 0 failed |", "2 promises were counted, 0 failures"}},
		said + "--- FAIL: TestTwo (2.00s)\nFAIL\tagentapi/test/e2e\t3.0s\n": {false, []string{"2 failures\nFAILED: TestTwo\nFAILED: agentapi/test/e2e"}},
		"ok": {false, []string{"0 promises were counted"}},
	} {
		held, failed, err := read(strings.NewReader(text))
		var out strings.Builder
		if well := report(&out, held, failed); err != nil || well != want.well {
			t.Errorf("%q: %v, %v", text, well, err)
		}
		for _, w := range want.says {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%q is not in\n%s", w, out.String())
			}
		}
	}
}

package trail

import (
	"context"
	"strings"
	"testing"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// lost keeps what the observer is told of.
type lost struct {
	ports.NopObserver
	what []string
}

func (l *lost) Lost(_ context.Context, what string, _ error) { l.what = append(l.what, what) }

func TestAProgramsStartAndEndAreRecorded(t *testing.T) {
	s, r := open(t)
	p := NewPrograms(r, ports.NopObserver{})
	for _, run := range []agent.Program{
		{ID: "01", Argv: [32]byte{0xab}, For: user("ann"), Bytes: 7, Idle: time.Minute}, {ID: "02", Argv: [32]byte{0xcd}},
	} {
		if err := p.Of("exec").Starting(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		p.Of("exec").Ended(t.Context(), run, "signal: killed", fault.New(fault.Canceled, "x"))
		if err := p.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := entries(t, s)
	if len(all) != 4 {
		t.Fatalf("%d entries", len(all))
	}
	for i, want := range []string{
		`"argv_sha256":"ab00`, `"state":"signal: killed"`, `"actor":"system"`, `"outcome":"canceled"`,
	} {
		if !strings.Contains(string(all[i].Canon), want) {
			t.Errorf("%s is not in %s", want, all[i].Canon)
		}
	}
	if c := all[0].Columns; c.Action != audit.AgentStarted || c.Org != user("ann").Org() || c.Target != all[1].Columns.Target || !all[2].Columns.Org.IsZero() {
		t.Errorf("%+v", c)
	}
}

func TestAProgramThatCannotBeRecordedIsNotStarted(t *testing.T) {
	s, _ := open(t)
	var l lost
	p := NewPrograms(NewRecorder(away{s}, "i", time.Now, func([]byte) {}), &l)
	if err := p.Of("exec").Starting(t.Context(), agent.Program{ID: "01"}); !Refused(err) {
		t.Errorf("got %v", err)
	}
	p.Of("exec").Ended(t.Context(), agent.Program{ID: "01"}, "exit status 0", nil)
	if err := p.Stop(t.Context()); err != nil || len(l.what) != 1 {
		t.Errorf("told of %v, %v", l.what, err)
	}
}

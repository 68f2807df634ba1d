package trail

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Programs records the programs of an agent's driver. One whose start cannot be
// recorded is not started; of one whose end cannot, the observer is told.
type Programs struct {
	Recorder *Recorder
	Observer ports.Observer
	Driver   string
}

var _ ports.Programs = Programs{}

// endWithin is how long recording an end may take.
const endWithin = 5 * time.Second

// Starting records that a program is about to be started.
func (p Programs) Starting(ctx context.Context, run agent.Program) error {
	return p.Recorder.Record(ctx, p.note(audit.AgentStarted, run, map[string]string{
		"driver": p.Driver, "argv_sha256": hex.EncodeToString(run.Argv[:]), "sandbox": "none",
		"output_bytes": strconv.FormatInt(run.Bytes, 10), "idle": limit(run.Idle), "total": limit(run.Total),
	}))
}

func limit(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

// Ended records how a program ended.
func (p Programs) Ended(ctx context.Context, run agent.Program, state string, why error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	n := p.note(audit.AgentExited, run, map[string]string{"driver": p.Driver, "state": state})
	if why != nil {
		n.Outcome, n.Details["kind"] = audit.Failed, fault.KindOf(why).String()
		if fault.Is(why, fault.Canceled) {
			n.Outcome = audit.Canceled
		}
		if f := fault.As(why); f != nil {
			n.Details["code"] = f.Code
		}
	}
	if err := p.Recorder.Record(ctx, n); err != nil {
		p.Observer.Lost(ctx, "the record of a program's end", err)
	}
}

func (p Programs) note(what audit.Action, run agent.Program, details map[string]string) Note {
	n := Note{Action: what, Who: run.For, Target: "program:" + run.ID, Details: details}
	if run.For.IsZero() {
		n.Actor = audit.System
	}
	return n
}

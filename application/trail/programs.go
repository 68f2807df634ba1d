package trail

import (
	"context"
	"encoding/hex"
	"strconv"
	"sync"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Programs records the programs of agents. One whose start cannot be recorded is not
// started; of one whose end cannot, the observer is told.
type Programs struct {
	recorder *Recorder
	observer ports.Observer
	ends     sync.WaitGroup // that are being recorded
}

// NewPrograms makes a Programs; Stop joins what it does.
func NewPrograms(r *Recorder, o ports.Observer) *Programs { return &Programs{recorder: r, observer: o} }

// Of is what the agents of a driver tell of their programs.
func (p *Programs) Of(driver string) ports.Programs { return programs{p, driver} }

// Stop waits until all ends that were told of are recorded, or cannot be.
func (p *Programs) Stop(context.Context) error {
	p.ends.Wait()
	return nil
}

type programs struct {
	*Programs
	driver string
}

// endWithin is how long recording an end may take.
const endWithin = 5 * time.Second

// Starting records that a program is about to be started.
func (p programs) Starting(ctx context.Context, run agent.Program) error {
	return p.recorder.Record(ctx, p.note(audit.AgentStarted, run, map[string]string{
		"driver": p.driver, "argv_sha256": hex.EncodeToString(run.Argv[:]), "sandbox": "none",
		"output_bytes": strconv.FormatInt(run.Bytes, 10), "idle": limit(run.Idle), "total": limit(run.Total),
	}))
}

func limit(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

// Ended records how a program ended, in the background: a slow storage must not keep
// the answer. No more wait than programs run, since none starts unrecorded.
func (p programs) Ended(ctx context.Context, run agent.Program, state string, why error) {
	n := p.note(audit.AgentExited, run, map[string]string{"driver": p.driver, "state": state})
	if why != nil {
		n.Outcome, n.Details["kind"] = audit.Failed, fault.KindOf(why).String()
		if fault.Is(why, fault.Canceled) {
			n.Outcome = audit.Canceled
		}
		if f := fault.As(why); f != nil {
			n.Details["code"] = f.Code
		}
	}
	p.ends.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		if err := p.recorder.Record(ctx, n); err != nil {
			p.observer.Lost(ctx, "the record of a program's end", err)
		}
	})
}

func (p programs) note(what audit.Action, run agent.Program, details map[string]string) Note {
	n := Note{Action: what, Who: run.For, Target: "program:" + run.ID, Details: details}
	if run.For.IsZero() {
		n.Actor = audit.System
	}
	return n
}

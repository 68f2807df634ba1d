package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// errLeft is why a program ended whose reader had enough.
var errLeft error = fault.New(fault.Canceled, "The reader left.")

// starting tells that a program is about to be started.
func (r *Runner) starting(ctx context.Context, p *process, who tenancy.Scope, l Limits) error {
	if r.told == nil {
		return nil
	}
	argv := sha256.New()
	for _, arg := range p.cmd.Args {
		argv.Write(append([]byte(arg), 0))
	}
	id := sha256.Sum256([]byte(p.mark)) // the mark itself is known to the program
	p.record = agent.Program{ID: hex.EncodeToString(id[:8]), Argv: [32]byte(argv.Sum(nil)), For: who, Bytes: l.Output, Idle: l.Idle, Total: l.Total}
	return r.told.Starting(ctx, p.record)
}

// ended tells that a program is gone.
func (r *Runner) ended(ctx context.Context, p *process, why error) {
	if r.told == nil {
		return
	}
	state := "not started"
	if p.cmd.ProcessState != nil {
		state = p.cmd.ProcessState.String()
	}
	r.told.Ended(ctx, p.record, state, why)
}

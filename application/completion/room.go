package completion

import (
	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// contain passes over the candidates whose models have no room for the prompt and the
// answer that is asked for. Where none has, it fails as the first does: see tokens.Fit.
// An agent that goes on with a session of its own is left to mind its context.
func (r *run) contain() error {
	var first error
	r.route.Pass(func(c agent.Candidate) (agent.Verdict, string) {
		if r.resumes(c) != "" {
			return "", ""
		}
		err := r.s.Tokens.Fit(r.cat.Known(c), c.Model, r.transcript, r.cmd.Request, r.cat.Agent(c.Agent).Capabilities().MaxTokens)
		if err == nil {
			return "", ""
		}
		if first == nil {
			first = err
		}
		return agent.Incapable, fault.As(err).Param
	})
	if len(r.route.Candidates) == 0 {
		return first
	}
	return nil
}

package operations

import (
	"context"
	"slices"
	"strings"

	"agentapi/application/trail"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Described is what operators see of the configuration.
type Described struct {
	Profiles map[agent.Name]Profile
	Settings []Setting
}

// Describe has operators see another configuration.
func (s *Service) Describe(d Described) { s.shown.Store(&d) }

// Reloaded is what came of reading the configuration again, by path: the agents that have
// come and gone, the other settings that hold now, and those that are others and hold once
// the server has been restarted.
type Reloaded struct{ Added, Removed, Changed, Restart []string }

// All are the settings that hold now, or that are there no more.
func (r Reloaded) All() []string {
	return slices.Sorted(slices.Values(slices.Concat(r.Added, r.Removed, r.Changed)))
}

// ReloadConfig reads the configuration again and has what changed of it hold for
// requests that come from now on; what runs goes on as it began. Where anything is wrong
// with it the one before goes on to hold, all of it: fault.Invalid, with all that is
// wrong.
func (s *Service) ReloadConfig(ctx context.Context, who tenancy.Principal) (Reloaded, error) {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return Reloaded{}, err
	}
	if s.Reload == nil {
		return Reloaded{}, fault.New(fault.Unsupported, "This server was not started from a configuration that can be read again.")
	}
	return s.reload(ctx, trail.Note{Who: who.Scope()})
}

// HangUp is ReloadConfig for whoever may send the server's process a signal. What came of
// it is logged.
func (s *Service) HangUp(ctx context.Context) {
	if s.Reload != nil {
		_, _ = s.reload(ctx, trail.Note{Actor: audit.System}) // nobody waits to be told
	}
}

func (s *Service) reload(ctx context.Context, note trail.Note) (Reloaded, error) {
	r, err := s.Reload(ctx)
	note.Action, note.Target, note.Details = audit.ConfigReloaded, s.Instance, map[string]string{"changed": sections(r.All()), "restart": sections(r.Restart)}
	if err != nil {
		note.Outcome = audit.Failed
	}
	if lost := s.Audit.Record(ctx, note); err == nil {
		err = lost
	}
	return r, err
}

// sections are the parts of the configuration that settings belong to.
func sections(paths []string) string {
	var out []string
	for _, p := range paths {
		top, _, _ := strings.Cut(p, ".")
		if len(out) == 0 || out[len(out)-1] != top {
			out = append(out, top)
		}
	}
	return strings.Join(out, ",")
}

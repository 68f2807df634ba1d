package bunstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/agent"
	"agentapi/domain/session"
	"agentapi/ports"
)

type agentRow struct {
	bun.BaseModel `bun:"table:agents,alias:a"`

	ID      string `bun:"id,pk"`
	Name    string `bun:"name"`
	Type    string `bun:"type"`
	Enabled bool   `bun:"enabled"`
	Config  string `bun:"config"`
}

type modelRow struct {
	bun.BaseModel `bun:"table:models,alias:m"`

	ID        string `bun:"id,pk"`
	AgentID   string `bun:"agent_id"`
	Name      string `bun:"name"`
	MaxTokens *int   `bun:"max_tokens"`
	Enabled   bool   `bun:"enabled"`
}

type healthRow struct {
	bun.BaseModel `bun:"table:agent_health,alias:h"`

	ID        string    `bun:"id,pk"`
	AgentID   string    `bun:"agent_id"`
	Status    string    `bun:"status"`
	LastCheck time.Time `bun:"last_check"`
	Error     *string   `bun:"error_message"`
}

// Agents keeps what the platform's agents are.
func (o *Outer) Agents() ports.Agents { return agents{o} }

type agents struct{ o *Outer }

func (a agents) write(ctx context.Context, do func(context.Context, *Repositories) error) error {
	return a.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return do(ctx, tx.(*Repositories)) })
}

// Mirror stores the agents as they are configured.
func (a agents) Mirror(ctx context.Context, all []agent.Described) error {
	// In one order, so that servers that do so at the same time wait for each other.
	all = slices.SortedFunc(slices.Values(all), func(a, b agent.Described) int { return cmp.Compare(a.Name, b.Name) })
	return a.write(ctx, func(ctx context.Context, r *Repositories) error {
		names := []string{""} // nobody's, for a list that is never empty
		for _, d := range all {
			names = append(names, string(d.Name))
			if err := r.mirror(ctx, d); err != nil {
				return err
			}
		}
		_, err := r.db.NewUpdate().Model((*agentRow)(nil)).Set("enabled = ?", false).Where("enabled AND name NOT IN (?)", bun.In(names)).Exec(ctx)
		return r.failed(ctx, err)
	})
}

func (r *Repositories) mirror(ctx context.Context, d agent.Described) error {
	row := &agentRow{ID: agent.IDOf(d.Name).UUID(), Name: string(d.Name), Type: d.Type, Enabled: true, Config: storable(d.Config)}
	_, err := r.db.NewInsert().Model(row).On("CONFLICT (name) DO UPDATE").
		Set("type = EXCLUDED.type, enabled = EXCLUDED.enabled, config = EXCLUDED.config").Returning(nothing).Exec(ctx)
	if err != nil {
		return r.failed(ctx, err)
	}
	ids := []string{""}
	for _, m := range d.Models {
		model := &modelRow{ID: agent.ModelIDOf(d.Name, m.ID).UUID(), AgentID: row.ID, Name: storable(m.ID), Enabled: true}
		if m.Context > 0 {
			model.MaxTokens = &m.Context
		}
		ids = append(ids, model.Name)
		_, err := r.db.NewInsert().Model(model).On("CONFLICT (agent_id, name) DO UPDATE").
			Set("max_tokens = EXCLUDED.max_tokens, enabled = EXCLUDED.enabled").Returning(nothing).Exec(ctx)
		if err != nil {
			return r.failed(ctx, err)
		}
	}
	_, err = r.db.NewUpdate().Model((*modelRow)(nil)).Set("enabled = ?", false).
		Where("agent_id = ? AND enabled AND name NOT IN (?)", row.ID, bun.In(ids)).Exec(ctx)
	return r.failed(ctx, err)
}

// RecordHealth stores how an agent is.
func (a agents) RecordHealth(ctx context.Context, name agent.Name, h agent.Health) error {
	if h.State == "" || h.State == agent.Unknown {
		return nil
	}
	return a.write(ctx, func(ctx context.Context, r *Repositories) error {
		id := agent.IDOf(name).UUID()
		if n, err := r.db.NewSelect().Model((*agentRow)(nil)).Where("id = ?", id).Count(ctx); err != nil || n == 0 {
			return r.failed(ctx, err)
		}
		row := &healthRow{ID: id, AgentID: id, Status: string(h.State), LastCheck: session.Moment(h.Seen)}
		if h.Reason != "" {
			reason := storable(h.Reason)
			row.Error = &reason
		}
		_, err := r.db.NewInsert().Model(row).On("CONFLICT (agent_id) DO UPDATE").
			Set("status = EXCLUDED.status, last_check = EXCLUDED.last_check, error_message = EXCLUDED.error_message").Returning(nothing).Exec(ctx)
		return r.failed(ctx, err)
	})
}

// Stored returns all agents by name.
func (a agents) Stored(ctx context.Context) ([]agent.Stored, error) {
	return read(ctx, a.o, func(ctx context.Context, r *Repositories) (out []agent.Stored, err error) {
		var (
			rows   []agentRow
			models []modelRow
			health []healthRow
		)
		err = r.db.NewSelect().Model(&rows).Order("name").Scan(ctx)
		if err == nil {
			err = r.db.NewSelect().Model(&models).Where("enabled").Order("agent_id", "name").Scan(ctx)
		}
		if err == nil {
			err = r.db.NewSelect().Model(&health).Scan(ctx)
		}
		if err != nil {
			return nil, r.failed(ctx, err)
		}
		for _, row := range rows {
			s := agent.Stored{Described: agent.Described{Name: agent.Name(row.Name), Type: row.Type, Config: row.Config}, Enabled: row.Enabled}
			for _, m := range models {
				if m.AgentID == row.ID {
					s.Models = append(s.Models, agent.Model{ID: m.Name, Context: value(m.MaxTokens)})
				}
			}
			for _, h := range health {
				if h.AgentID == row.ID {
					s.Health = agent.Health{State: agent.State(h.Status), Seen: h.LastCheck.UTC(), Reason: value(h.Error)}
				}
			}
			out = append(out, s)
		}
		return out, nil
	})
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

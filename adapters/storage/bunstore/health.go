package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/agent"
	"agentapi/domain/page"
	"agentapi/domain/session"
)

type changeRow struct {
	bun.BaseModel `bun:"table:agent_health_changes,alias:hc"`

	ID           string    `bun:"id,pk"`
	Agent        string    `bun:"agent"`
	Instance     string    `bun:"instance"`
	State        string    `bun:"state"`
	Was          string    `bun:"was"`
	Reason       string    `bun:"reason"`
	LastedMS     int64     `bun:"lasted_ms"`
	Probes       int       `bun:"probes"`
	ProbesFailed int       `bun:"probes_failed"`
	Runs         int       `bun:"runs"`
	RunsFailed   int       `bun:"runs_failed"`
	CreatedAt    time.Time `bun:"created_at"`
}

func rowOfChange(c agent.Change) changeRow {
	return changeRow{
		ID: c.ID.UUID(), Agent: storable(string(c.Agent)), Instance: c.Instance, State: string(c.State), Was: string(c.Was), Reason: storable(c.Reason),
		LastedMS: c.Lasted.Milliseconds(), Probes: c.Tally.Probes, ProbesFailed: c.Tally.ProbesFailed, Runs: c.Tally.Runs, RunsFailed: c.Tally.RunsFailed,
		CreatedAt: session.Moment(c.At),
	}
}

func (r *changeRow) change() (c agent.Change, err error) {
	c = agent.Change{
		Agent: agent.Name(r.Agent), Instance: r.Instance, At: r.CreatedAt.UTC(), State: agent.State(r.State), Was: agent.State(r.Was), Reason: r.Reason,
		Lasted: time.Duration(r.LastedMS) * time.Millisecond, Tally: agent.Tally{Probes: r.Probes, ProbesFailed: r.ProbesFailed, Runs: r.Runs, RunsFailed: r.RunsFailed},
	}
	if err := parsed(&c.ID, &r.ID, agent.ParseChangeID); err != nil {
		return c, corrupt("change of an agent's health", err)
	}
	return c, nil
}

// NoteChanges stores changes of agents' states.
func (a agents) NoteChanges(ctx context.Context, changes ...agent.Change) error {
	if len(changes) == 0 {
		return nil
	}
	rows := make([]changeRow, len(changes))
	for i, c := range changes {
		rows[i] = rowOfChange(c)
	}
	return a.write(ctx, func(ctx context.Context, r *Repositories) error {
		_, err := r.db.NewInsert().Model(&rows).On("CONFLICT DO NOTHING").Returning(nothing).Exec(ctx)
		return r.failed(ctx, err)
	})
}

// Changes returns one page of the changes of an agent's state.
func (a agents) Changes(ctx context.Context, name agent.Name, q page.Query) (page.Of[agent.Change], error) {
	return read(ctx, a.o, func(ctx context.Context, r *Repositories) (out page.Of[agent.Change], err error) {
		var rows []changeRow
		query := r.db.NewSelect().Model(&rows).Where("agent = ?", storable(string(name)))
		out.More, err = cut(ctx, r, query, "id", q, func(cursor string) (any, error) {
			id, err := agent.ParseChangeID(cursor)
			if err != nil {
				return nil, badCursor(q)
			}
			return id.UUID(), nil
		}, &rows)
		if err != nil {
			return page.Of[agent.Change]{}, err
		}
		for i := range rows {
			c, err := rows[i].change()
			if err != nil {
				return page.Of[agent.Change]{}, err
			}
			out.Items = append(out.Items, c)
		}
		return out, nil
	})
}

// expireChanges removes changes from before a moment, at most most.
func (r *Repositories) expireChanges(ctx context.Context, before time.Time, most int) (gone int, more bool, err error) {
	old := r.db.NewSelect().Model((*changeRow)(nil)).Column("id").Where("created_at < ?", session.Moment(before)).Order("created_at").Limit(int64(most))
	result, err := r.db.NewDelete().Model((*changeRow)(nil)).Where("id IN (?)", old).Exec(ctx)
	if err != nil {
		return 0, false, r.failed(ctx, err)
	}
	n, err := result.RowsAffected()
	return int(n), int(n) == most, r.failed(ctx, err)
}

// expiringChanges counts what expireChanges would remove in all.
func (r *Repositories) expiringChanges(ctx context.Context, before time.Time) (int, error) {
	n, err := r.db.NewSelect().Model((*changeRow)(nil)).Where("created_at < ?", session.Moment(before)).Count(ctx)
	return int(n), r.failed(ctx, err)
}

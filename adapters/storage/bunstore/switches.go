package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/agent"
	"agentapi/domain/session"
	"agentapi/ports"
)

type switchRow struct {
	bun.BaseModel `bun:"table:agent_switches,alias:w"`

	Name      string    `bun:"name,pk"`
	Off       bool      `bun:"off"`
	Drained   bool      `bun:"drained"`
	ResetAt   time.Time `bun:"reset_at,nullzero"`
	Version   int       `bun:"version"`
	ChangedAt time.Time `bun:"changed_at"`
}

func (r *switchRow) turned() agent.Switch {
	return agent.Switch{Agent: agent.Name(r.Name), Off: r.Off, Drained: r.Drained, Reset: r.ResetAt.UTC(), Version: r.Version, Changed: r.ChangedAt.UTC()}
}

// Switches keeps which agents are out of service.
func (r *Repositories) Switches() ports.Switches { return switches{r} }

// Switches keeps which agents are out of service.
func (o *Outer) Switches() ports.Switches { return outerSwitches{o} }

type switches struct{ *Repositories }

// All returns the switches that were ever turned.
func (c switches) All(ctx context.Context) ([]agent.Switch, error) {
	var rows []switchRow
	if err := c.db.NewSelect().Model(&rows).Where("version > 1").Order("name").Scan(ctx); err != nil {
		return nil, c.failed(ctx, err)
	}
	out := make([]agent.Switch, len(rows))
	for i := range rows {
		out[i] = rows[i].turned()
	}
	return out, nil
}

// Turn stores what change makes of an agent's switch. There is a row before it is
// read, so that of two who turn it at once the second waits for the first.
func (c switches) Turn(ctx context.Context, name agent.Name, change func(*agent.Switch) error) error {
	row := &switchRow{Name: storable(string(name)), Version: 1}
	if _, err := c.db.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning(nothing).Exec(ctx); err != nil {
		return c.failed(ctx, err)
	}
	query := c.db.NewSelect().Model(row).WherePK()
	if c.locks {
		query = query.For("UPDATE")
	}
	if err := query.Scan(ctx); err != nil {
		return c.failed(ctx, err)
	}
	s := agent.On(name)
	if row.Version > 1 {
		s = row.turned()
	}
	if err := change(&s); err != nil {
		return err
	}
	row.Off, row.Drained, row.Version, row.ChangedAt, row.ResetAt = s.Off, s.Drained, row.Version+1, session.Moment(s.Changed), time.Time{}
	if !s.Reset.IsZero() {
		row.ResetAt = session.Moment(s.Reset)
	}
	_, err := c.db.NewUpdate().Model(row).WherePK().Exec(ctx)
	return c.failed(ctx, err)
}

type outerSwitches struct{ o *Outer }

func (s outerSwitches) All(ctx context.Context) ([]agent.Switch, error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) ([]agent.Switch, error) { return r.Switches().All(ctx) })
}

func (s outerSwitches) Turn(ctx context.Context, name agent.Name, change func(*agent.Switch) error) error {
	return s.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Switches().Turn(ctx, name, change) })
}

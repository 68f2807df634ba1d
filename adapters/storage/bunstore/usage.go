package bunstore

import (
	"context"
	"encoding/json"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/price"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

type usageRow struct {
	bun.BaseModel `bun:"table:usage,alias:u"`

	OrgID      string    `bun:"org_id,pk"`
	ID         string    `bun:"id,pk"`
	UserID     string    `bun:"user_id"`
	Request    string    `bun:"request"`
	SessionID  string    `bun:"session_id"`
	KeyID      *string   `bun:"key_id"`
	Agent      string    `bun:"agent"`
	Model      string    `bun:"model"`
	Prompt     int       `bun:"prompt_tokens"`
	Completion int       `bun:"completion_tokens"`
	Details    string    `bun:"details"`
	Outcome    string    `bun:"outcome"`
	Cost       int64     `bun:"cost_micro"`
	CreatedAt  time.Time `bun:"created_at"`
}

func (*usageRow) table() Table {
	return Table{Name: "usage", Unless: true,
		Columns: "org_id, id, user_id, request, session_id, key_id, agent, model, prompt_tokens, completion_tokens, details, outcome, cost_micro, created_at"}
}

// Values gives the columns' values.
func (r *usageRow) Values(to Columns) {
	to.UUID(r.OrgID)
	to.UUID(r.ID)
	to.UUID(r.UserID)
	to.Text(r.Request)
	to.UUID(r.SessionID)
	to.UUIDOrNull(r.KeyID)
	to.Text(r.Agent)
	to.Text(r.Model)
	to.Integer(r.Prompt)
	to.Integer(r.Completion)
	to.JSON(r.Details)
	to.Text(r.Outcome)
	to.Bigint(r.Cost)
	to.Time(r.CreatedAt)
}

type usages struct{ *Repositories }

// Record books records.
func (c usages) Record(ctx context.Context, in tenancy.Scope, records ...usage.Record) error {
	if err := c.writing(ctx, in); err != nil {
		return err
	}
	rows := make([]*usageRow, len(records))
	for i := range records {
		r := &records[i]
		details, err := json.Marshal(r.Tokens)
		if err != nil {
			return fault.Internalf("encoding usage: %w", err)
		}
		rows[i] = &usageRow{
			OrgID: in.Org().UUID(), ID: r.ID.UUID(), UserID: in.User().UUID(), Request: storable(r.Request), SessionID: r.Session.UUID(),
			Agent: storable(string(r.Agent)), Model: storable(r.Model), Prompt: r.Tokens.Prompt, Completion: r.Tokens.Completion,
			KeyID: keyColumn(r.Key), Details: string(details), Outcome: string(r.Outcome), Cost: int64(r.Cost), CreatedAt: session.Moment(r.At),
		}
	}
	return insert(ctx, c.Repositories, rows...)
}

// Records returns the user's records after the one with this id.
func (c usages) Records(ctx context.Context, in tenancy.Scope, after usage.ID, most int) ([]usage.Record, error) {
	if in.IsZero() {
		return nil, nil
	}
	if err := c.within(ctx, in); err != nil {
		return nil, err
	}
	var rows []usageRow
	err := c.db.NewSelect().Model(&rows).Where("org_id = ? AND user_id = ? AND id > ?", in.Org().UUID(), in.User().UUID(), after.UUID()).
		Order("id").Limit(int64(most)).Scan(ctx)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	out := make([]usage.Record, len(rows))
	for i := range rows {
		if out[i], err = rows[i].record(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keyColumn is null where there is no key.
func keyColumn(k tenancy.KeyID) *string {
	if k.IsZero() {
		return nil
	}
	text := k.UUID()
	return &text
}

func (r *usageRow) record() (out usage.Record, err error) {
	var tokens chat.Usage
	if err := json.Unmarshal([]byte(r.Details), &tokens); err != nil {
		return out, corrupt("usage record", err)
	}
	if out.ID, err = usage.ParseID(r.ID); err != nil {
		return out, corrupt("usage record", err)
	}
	if none := (session.ID{}).UUID(); r.SessionID != none { // of an erased user it is not known any more
		if out.Session, err = session.ParseID(r.SessionID); err != nil {
			return out, corrupt("usage record", err)
		}
	}
	if r.KeyID != nil {
		if out.Key, err = tenancy.ParseKeyID(*r.KeyID); err != nil {
			return out, corrupt("usage record", err)
		}
	}
	out.Request, out.Agent, out.Model, out.Tokens = r.Request, agent.Name(r.Agent), r.Model, tokens
	out.Outcome, out.Cost, out.At = usage.Outcome(r.Outcome), price.Micro(r.Cost), r.CreatedAt.UTC()
	return out, nil
}

// Totals sums what the scope's user consumed.
func (c usages) Totals(ctx context.Context, in tenancy.Scope) (t usage.Totals, err error) {
	if in.IsZero() {
		return t, nil
	}
	if err := c.within(ctx, in); err != nil {
		return t, err
	}
	err = c.db.NewSelect().Model((*usageRow)(nil)).
		ColumnExpr("count(*), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0)").
		Where("org_id = ? AND user_id = ?", in.Org().UUID(), in.User().UUID()).
		Scan(ctx, &t.Requests, &t.PromptTokens, &t.CompletionTokens)
	return t, c.failed(ctx, err)
}

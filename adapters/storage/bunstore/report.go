package bunstore

import (
	"context"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/agent"
	"agentapi/domain/price"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// reportRow is a row of a report as the database gives it.
type reportRow struct {
	Bucket int64   `bun:"bucket"` // seconds since 1970
	OrgID  *string `bun:"org_id"`
	UserID *string `bun:"user_id"`
	KeyID  *string `bun:"key_id"`
	Agent  string  `bun:"agent"`
	Model  string  `bun:"model"`

	Requests   int64 `bun:"requests"`
	Failed     int64 `bun:"failed"`
	Canceled   int64 `bun:"canceled"`
	Prompt     int64 `bun:"prompt"`
	Cached     int64 `bun:"cached"`
	CacheWrite int64 `bun:"cache_write"`
	Completion int64 `bun:"completion"`
	Reasoning  int64 `bun:"reasoning"`
	Cost       int64 `bun:"cost"`
}

// columns are those of the dimensions.
var columns = map[usage.Dimension]string{
	usage.ByOrg: "org_id", usage.ByUser: "user_id", usage.ByKey: "key_id", usage.ByAgent: "agent", usage.ByModel: "model",
}

// Report sums what was consumed in an organisation.
func (c usages) Report(ctx context.Context, in tenancy.Realm, q usage.Query) ([]usage.Row, error) {
	if in.IsZero() {
		return nil, nil
	}
	if c.enter != nil {
		if err := c.enter(ctx, in.Org()); err != nil {
			return nil, c.failed(ctx, err)
		}
	}
	return c.report(ctx, q, func(s *bun.SelectQuery) *bun.SelectQuery { return s.Where("org_id = ?", in.Org().UUID()) })
}

// ReportAll sums what was consumed in the whole deployment.
func (c usages) ReportAll(ctx context.Context, q usage.Query) ([]usage.Row, error) {
	all := func(s *bun.SelectQuery) *bun.SelectQuery { return s }
	if !c.shared() {
		return c.report(ctx, q, all)
	}
	if _, err := c.db.NewRaw("SET LOCAL agentapi.platform = 'on'").Exec(ctx); err != nil {
		return nil, c.failed(ctx, err)
	}
	rows, err := c.report(ctx, q, all)
	if err != nil {
		return nil, err
	}
	// What comes after it in the transaction sees its own tenant again.
	_, err = c.db.NewRaw("SET LOCAL agentapi.platform = 'off'").Exec(ctx)
	return rows, c.failed(ctx, err)
}

// longest is how long before its record was made an id may have been: a record is
// made when its answer ends, and its id when that began.
const longest = 24 * time.Hour

func (c usages) report(ctx context.Context, q usage.Query, of func(*bun.SelectQuery) *bun.SelectQuery) ([]usage.Row, error) {
	bucket, detail := "CAST(strftime('%s', created_at) AS INTEGER) / ? * ?", "coalesce(sum(json_extract(details, '$.?')), 0)"
	if c.shared() {
		bucket, detail = "floor(extract(epoch FROM created_at) / ?)::bigint * ?", "coalesce(sum((details->>'?')::bigint), 0)"
	}
	width := int64(q.Width.Seconds())
	s := c.db.NewSelect().Model((*usageRow)(nil)).ColumnExpr("("+bucket+") AS bucket", width, width).GroupExpr("1")
	for _, d := range q.By {
		s = s.Column(columns[d]).GroupExpr("?", bun.Ident(columns[d]))
	}
	s = s.ColumnExpr("count(*) AS requests").
		ColumnExpr("count(*) FILTER (WHERE outcome = ?) AS failed", string(usage.Failed)).
		ColumnExpr("count(*) FILTER (WHERE outcome = ?) AS canceled", string(usage.Canceled)).
		ColumnExpr("coalesce(sum(prompt_tokens), 0) AS prompt").ColumnExpr("coalesce(sum(completion_tokens), 0) AS completion").ColumnExpr("coalesce(sum(cost_micro), 0) AS cost").
		ColumnExpr(detail+" AS cached", bun.Safe("cached")).ColumnExpr(detail+" AS cache_write", bun.Safe("cache_write")).ColumnExpr(detail+" AS reasoning", bun.Safe("reasoning"))
	// The ids tell the time, too, and lead to the rows, and to the months that they are in.
	s = of(s).Where("id >= ? AND id < ?", usage.NewID(q.Since.Add(-longest), [10]byte{}).UUID(), usage.NewID(q.Until.Add(time.Millisecond), [10]byte{}).UUID()).
		Where("created_at >= ? AND created_at < ?", session.Moment(q.Since), session.Moment(q.Until))
	s = oneOf(s, "user_id", q.Users, tenancy.UserID.UUID)
	s = oneOf(s, "key_id", q.Keys, tenancy.KeyID.UUID)
	s = oneOf(s, "agent", q.Agents, func(n agent.Name) string { return storable(string(n)) })
	s = oneOf(s, "model", q.Models, storable)
	var rows []reportRow
	if err := s.OrderExpr("1").Limit(usage.MaxRows+1).Scan(ctx, &rows); err != nil {
		return nil, c.failed(ctx, err)
	}
	if len(rows) > usage.MaxRows {
		return nil, usage.TooMany()
	}
	return made(rows)
}

// oneOf keeps rows with one of some values.
func oneOf[T any](s *bun.SelectQuery, column string, of []T, as func(T) string) *bun.SelectQuery {
	if len(of) == 0 {
		return s
	}
	return s.Where("? IN (?)", bun.Ident(column), bun.In(mapped(of, as)))
}

func mapped[T any](of []T, as func(T) string) []string {
	out := make([]string, len(of))
	for i, v := range of {
		out[i] = as(v)
	}
	return out
}

func uuids[T interface{ UUID() string }](ids []T) []string { return mapped(ids, T.UUID) }

func made(rows []reportRow) ([]usage.Row, error) {
	out := make([]usage.Row, len(rows))
	for i, r := range rows {
		g := usage.Group{At: time.Unix(r.Bucket, 0).UTC(), Agent: agent.Name(r.Agent), Model: r.Model}
		for _, err := range []error{parsed(&g.Org, r.OrgID, tenancy.ParseOrgID), parsed(&g.User, r.UserID, tenancy.ParseUserID), parsed(&g.Key, r.KeyID, tenancy.ParseKeyID)} {
			if err != nil {
				return nil, corrupt("usage record", err)
			}
		}
		out[i] = usage.Row{Group: g, Sums: usage.Sums{
			Requests: r.Requests, Failed: r.Failed, Canceled: r.Canceled, Prompt: r.Prompt, Cached: r.Cached, CacheWrite: r.CacheWrite,
			Completion: r.Completion, Reasoning: r.Reasoning, Cost: price.Micro(r.Cost),
		}}
	}
	slices.SortFunc(out, usage.Compare)
	return out, nil
}

// parsed reads an id that may be absent.
func parsed[T any](to *T, text *string, parse func(string) (T, error)) (err error) {
	if text != nil {
		*to, err = parse(*text)
	}
	return err
}

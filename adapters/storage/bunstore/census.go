package bunstore

import (
	"context"
	"time"

	"agentapi/domain/census"
	"agentapi/domain/session"
	"agentapi/domain/usage"
)

// Census counts what all tenants have.
func (o *Outer) Census(ctx context.Context, at time.Time, most int64) (census.Census, error) {
	return read(ctx, o, func(ctx context.Context, r *Repositories) (census.Census, error) { return r.census(ctx, at, most) })
}

func (r *Repositories) census(ctx context.Context, at time.Time, most int64) (out census.Census, err error) {
	out.Most = most
	if r.shared() { // where tenants are kept apart, only this function reaches all
		err = r.db.NewRaw("SELECT orgs, users, keys, sessions FROM census(?)", most).Scan(ctx, &out.Orgs, &out.Users, &out.Keys, &out.Sessions)
	} else {
		const count = "SELECT count(*) FROM (SELECT 1 FROM "
		err = r.db.NewRaw("SELECT ("+count+"orgs LIMIT ?)), ("+count+"users LIMIT ?)), ("+count+"api_keys WHERE revoked_at IS NULL LIMIT ?)), ("+count+"chat_sessions LIMIT ?))",
			most, most, most, most).Scan(ctx, &out.Orgs, &out.Users, &out.Keys, &out.Sessions)
	}
	if err != nil {
		return census.Census{}, r.failed(ctx, err)
	}
	for since, sum := range map[time.Duration]*usage.Totals{time.Hour: &out.LastHour, 24 * time.Hour: &out.LastDay} {
		from := session.Moment(at.Add(-since))
		query := r.db.NewRaw("SELECT requests, prompt, completion FROM consumed(?, ?)", from, most)
		if !r.shared() {
			query = r.db.NewRaw("SELECT count(*), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0) "+
				"FROM (SELECT prompt_tokens, completion_tokens FROM usage WHERE created_at >= ? LIMIT ?)", from, most)
		}
		if err := query.Scan(ctx, &sum.Requests, &sum.PromptTokens, &sum.CompletionTokens); err != nil {
			return census.Census{}, r.failed(ctx, err)
		}
	}
	return out, nil
}

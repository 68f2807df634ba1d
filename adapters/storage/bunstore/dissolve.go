package bunstore

import (
	"context"

	work "agentapi/domain/job"
	"agentapi/domain/tenancy"
)

// dissolve removes rows of an organisation, whosever they are.
func (r *Repositories) dissolve(ctx context.Context, in tenancy.Realm, most int) (total int, err error) {
	if err := (directory{r}).managing(ctx, in); err != nil {
		return 0, err
	}
	org := in.Org().UUID()
	var ids []string
	if err := r.db.NewSelect().Model((*sessionRow)(nil)).Column("id").Where("org_id = ?", org).Limit(int64(most)).Scan(ctx, &ids); err != nil {
		return 0, r.failed(ctx, err)
	}
	keys := make([][]string, len(ids))
	for i, id := range ids {
		keys[i] = []string{org, id}
	}
	turns, gone, err := r.clear(ctx, keys)
	if err != nil {
		return 0, err
	}
	total = turns + gone
	for _, part := range []struct {
		model any
		key   string
		which string // empty: all
	}{
		{(*budgetRow)(nil), "id", ""}, {(*chargeRow)(nil), "id", ""}, {(*holdRow)(nil), "id", ""}, {(*usageRow)(nil), "id", ""}, {(*idempotencyRow)(nil), "key", ""}, {(*invitationRow)(nil), "id", ""}, {(*groupRow)(nil), "id", ""},
		{(*valueRow)(nil), "subject_id", ""}, {(*subjectRow)(nil), "user_id", ""},
		{(*jobRow)(nil), "id", "finished_at IS NOT NULL AND kind <> '" + string(work.EraseOrg) + "'"},
	} {
		some := r.db.NewSelect().Model(part.model).Column(part.key).Where("org_id = ?", org).Limit(int64(most))
		if part.which != "" {
			some = some.Where(part.which)
		}
		result, err := r.db.NewDelete().Model(part.model).Where("org_id = ? AND "+part.key+" IN (?)", org, some).Exec(ctx)
		if err != nil {
			return 0, r.failed(ctx, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, r.failed(ctx, err)
		}
		total += int(n)
	}
	n, err := r.unhouse(ctx, org, most)
	return total + n, r.failed(ctx, err)
}

// unhouse has users act nowhere who acted in an organisation, and removes those who
// are nobody elsewhere. It returns how many they are.
func (r *Repositories) unhouse(ctx context.Context, org string, most int) (int, error) {
	var users []userRow
	if err := r.db.NewSelect().Model(&users).Column("id", "platform").Where("home = ?", org).Limit(int64(most)).Scan(ctx); err != nil {
		return 0, err
	}
	for _, u := range users {
		gone := 0
		if u.Platform == "" {
			var err error
			if gone, err = r.forget(ctx, u.ID); err != nil {
				return 0, err
			}
		}
		if gone == 0 {
			if _, err := r.db.NewUpdate().Model((*userRow)(nil)).Set("home = NULL, version = version + 1").Where("id = ?", u.ID).Exec(ctx); err != nil {
				return 0, err
			}
		}
	}
	return len(users), nil
}

package bunstore

import (
	"context"
	"encoding/json"

	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
)

// granted writes the limits that somebody was given; null: none.
func granted(own quota.Own) *string {
	if len(own) == 0 {
		return nil
	}
	text, err := json.Marshal(own)
	if err != nil {
		return nil // names and numbers can be written
	}
	return new(string(text))
}

// allowed reads the limits that somebody was given.
func allowed(text *string) (own quota.Own, err error) {
	if text == nil {
		return nil, nil
	}
	return own, json.Unmarshal([]byte(*text), &own)
}

// Allowances returns which limits were given, in one query.
func (d directory) Allowances(ctx context.Context, in tenancy.Scope, key tenancy.KeyID) (a tenancy.Allowances, err error) {
	if in.IsZero() {
		return a, nil
	}
	if err := d.inside(ctx, in.Org()); err != nil {
		return a, err
	}
	var (
		org             = in.Org().UUID()
		ofOrg, own, ofK *string
	)
	err = d.db.NewRaw("SELECT (SELECT limits FROM orgs WHERE id = ?), (SELECT limits FROM memberships WHERE org_id = ? AND user_id = ?), (SELECT limits FROM api_keys WHERE org_id = ? AND id = ?)",
		org, org, in.User().UUID(), org, key.UUID()).Scan(ctx, &ofOrg, &own, &ofK)
	if err != nil {
		return a, d.failed(ctx, err)
	}
	for _, of := range []struct {
		text *string
		to   *quota.Own
	}{{ofOrg, &a.Org}, {own, &a.User}, {ofK, &a.Key}} {
		if *of.to, err = allowed(of.text); err != nil {
			return a, corrupt("limit", err)
		}
	}
	return a, nil
}

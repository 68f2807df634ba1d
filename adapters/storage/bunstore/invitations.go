package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// CreateInvitation stores a new invitation, in place of one whose time has passed.
func (d directory) CreateInvitation(ctx context.Context, in tenancy.Realm, i *tenancy.Invitation) error {
	if err := d.managing(ctx, in); err != nil {
		return err
	}
	if i.Org != in.Org() {
		return fault.New(fault.Forbidden, "An invitation belongs to its own organisation.")
	}
	row := rowOfInvitation(i)
	row.Version = 1
	const same = "org_id = ? AND email_key = ? AND status = ?"
	_, err := d.db.NewUpdate().Model((*invitationRow)(nil)).Set("status = ?, version = version + 1, updated_at = ?", string(tenancy.Expired), row.CreatedAt).
		Where(same, row.OrgID, row.EmailKey, string(tenancy.Pending)).Where("expires_at <= ?", row.CreatedAt).Exec(ctx)
	if err != nil {
		return d.failed(ctx, err)
	}
	_, err = first[invitationRow](ctx, d, false, tenancy.NoInvitation(), same, row.OrgID, row.EmailKey, string(tenancy.Pending))
	if !fault.Is(err, fault.NotFound) {
		if err == nil {
			err = tenancy.Invited()
		}
		return err
	}
	_, err = d.db.NewInsert().Model(row).Returning(nothing).Exec(ctx)
	return d.failed(ctx, err)
}

// FindInvitation returns the first invitation to an address. Where tenants are kept
// apart, only this function reaches all.
func (d directory) FindInvitation(ctx context.Context, issuer, email string, at time.Time) (*tenancy.Invitation, error) {
	var row invitationRow
	query := d.db.NewSelect().Model(&row)
	key, moment := storable(tenancy.FoldEmail(email)), session.Moment(at)
	if d.shared() {
		query = query.ModelTableExpr("find_invitation(?, ?, ?) AS inv", storable(issuer), key, moment)
	} else {
		query = query.Join("JOIN orgs AS o ON o.id = inv.org_id").Where("o.issuer = ? AND o.status = ?", storable(issuer), string(tenancy.Active)).
			Where("inv.email_key = ? AND inv.status = 'pending' AND inv.expires_at > ?", key, moment).Order("inv.id").Limit(1)
	}
	err := query.Scan(ctx)
	if noRows(err) {
		return nil, tenancy.NoInvitation()
	}
	if err != nil {
		return nil, d.failed(ctx, err)
	}
	return row.invitation()
}

// Invitations returns a page of the organisation's invitations.
func (d directory) Invitations(ctx context.Context, in tenancy.Realm, f tenancy.InvitationFilter, q page.Query) (page.Of[*tenancy.Invitation], error) {
	if in.IsZero() {
		return page.Of[*tenancy.Invitation]{}, nil
	}
	if err := d.inside(ctx, in.Org()); err != nil {
		return page.Of[*tenancy.Invitation]{}, err
	}
	return list(ctx, d, "id", tenancy.ParseInvitationID, q, func(s *bun.SelectQuery) *bun.SelectQuery {
		return chosenInvitations(s.Where("org_id = ?", in.Org().UUID()), &f)
	}, (*invitationRow).invitation)
}

// Invitation returns an invitation of the organisation.
func (d directory) Invitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID) (*tenancy.Invitation, error) {
	if in.IsZero() {
		return nil, tenancy.NoInvitation()
	}
	if err := d.inside(ctx, in.Org()); err != nil {
		return nil, err
	}
	row, err := first[invitationRow](ctx, d, true, tenancy.NoInvitation(), "org_id = ? AND id = ?", in.Org().UUID(), id.UUID())
	if err != nil {
		return nil, err
	}
	return row.invitation()
}

// UpdateInvitation stores what change makes of an invitation.
func (d directory) UpdateInvitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID, change func(*tenancy.Invitation) error) error {
	if err := d.managing(ctx, in); err != nil {
		return err
	}
	old, err := d.Invitation(ctx, in, id)
	if err != nil {
		return err
	}
	i := *old
	if err := change(&i); err != nil {
		return err
	}
	i.ID, i.Org, i.Version = old.ID, old.Org, old.Version+1
	_, err = d.db.NewUpdate().Model(rowOfInvitation(&i)).ExcludeColumn("email", "email_key", "created_at").WherePK().Exec(ctx)
	return d.failed(ctx, err)
}

// uninvite removes at most most of the invitations that brought a user or were to an
// address of theirs, with what the audit log knows of who was invited, and takes the
// user out of as many of those that they made. It returns how many it touched.
func (r *Repositories) uninvite(ctx context.Context, org, user, pseudonym string, most int) (int, error) {
	var address string
	err := r.db.NewSelect().Model((*memberRow)(nil)).Column("email").Where("org_id = ? AND user_id = ?", org, user).Scan(ctx, &address)
	if err != nil && !noRows(err) {
		return 0, err
	}
	var gone, made []string
	// What they accepted tells their address, and so goes last.
	accepted := r.db.NewSelect().Model((*invitationRow)(nil)).Column("email_key").Where("org_id = ? AND accepted_by = ?", org, user)
	err = r.db.NewSelect().Model((*invitationRow)(nil)).Column("id").Where("org_id = ?", org).
		Where("email_key IN (?) OR email_key = ?", accepted, storable(tenancy.FoldEmail(address))).
		OrderExpr("CASE WHEN accepted_by = ? THEN 1 ELSE 0 END, id", user).Limit(int64(most)).Scan(ctx, &gone)
	if err == nil && len(gone) > 0 {
		guests := r.db.NewSelect().Model((*subjectRow)(nil)).Column("id").Where("org_id = ? AND user_id IN (?)", org, bun.In(gone))
		_, err = r.db.NewDelete().Model((*valueRow)(nil)).Where("org_id = ? AND subject_id IN (?)", org, guests).Exec(ctx)
		if err == nil {
			_, err = r.db.NewDelete().Model((*subjectRow)(nil)).Where("org_id = ? AND user_id IN (?)", org, bun.In(gone)).Exec(ctx)
		}
		if err == nil {
			_, err = r.db.NewDelete().Model((*invitationRow)(nil)).Where("org_id = ? AND id IN (?)", org, bun.In(gone)).Exec(ctx)
		}
	}
	if err == nil {
		err = r.db.NewSelect().Model((*invitationRow)(nil)).Column("id").Where("org_id = ? AND invited_by = ?", org, user).Limit(int64(most)).Scan(ctx, &made)
	}
	if err == nil && len(made) > 0 {
		_, err = r.db.NewUpdate().Model((*invitationRow)(nil)).Set("invited_by = ?", pseudonym).Where("org_id = ? AND id IN (?)", org, bun.In(made)).Exec(ctx)
	}
	return len(gone) + len(made), err
}

package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"agentapi/application/access"
	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Admins lists the users who have a role on the platform by what was given here.
func (s *Service) Admins(ctx context.Context, who tenancy.Principal, q page.Query) (page.Of[*tenancy.User], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[*tenancy.User]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*tenancy.User], error) {
		return s.Storage.Directory().Users(ctx, tenancy.UserFilter{Platform: true}, q)
	})
}

// Users lists users of all organisations.
func (s *Service) Users(ctx context.Context, who tenancy.Principal, f tenancy.UserFilter, q page.Query) (page.Of[*tenancy.User], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[*tenancy.User]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*tenancy.User], error) { return s.Storage.Directory().Users(ctx, f, q) })
}

// Appoint gives a subject of an issuer a role on the platform, whether they have
// come yet or not.
func (s *Service) Appoint(ctx context.Context, who tenancy.Principal, issuer, subject string, role tenancy.Role) (*tenancy.User, error) {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return nil, err
	}
	return s.appoint(ctx, trail.Note{Who: who.Scope(), From: who.Origin()}, issuer, subject, role)
}

// Bootstrap appoints the first platform admin, for whoever has the storage itself in
// hand. fault.Conflict: there is one.
func (s *Service) Bootstrap(ctx context.Context, issuer, subject string) (*tenancy.User, error) {
	for q := (page.Query{Limit: page.MaxLimit}); ; {
		there, err := s.Storage.Directory().Users(ctx, tenancy.UserFilter{Platform: true}, q)
		if err != nil {
			return nil, err
		}
		for _, u := range there.Items {
			if u.Platform == tenancy.PlatformAdmin && u.Status == tenancy.Active {
				return nil, fault.New(fault.Conflict, "There is a platform admin already: %s at %s.", u.Subject, u.Issuer).WithCode("admin_exists").
					WithHint("Platform admins appoint others.")
			}
			q.After = u.ID.String()
		}
		if !there.More {
			return s.appoint(ctx, trail.Note{Actor: audit.Operator}, issuer, subject, tenancy.PlatformAdmin)
		}
	}
}

func (s *Service) appoint(ctx context.Context, n trail.Note, issuer, subject string, role tenancy.Role) (*tenancy.User, error) {
	for param, text := range map[string]string{"issuer": issuer, "subject": subject} {
		if err := tenancy.ValidTitle(param, text); err != nil {
			return nil, err
		}
	}
	if !role.IsPlatform() {
		return nil, fault.Invalidf("role", "invalid_value", "role must be platform_admin or platform_auditor.")
	}
	at, id := s.Now(), access.UserOf(issuer, subject)
	var after tenancy.User
	n.Action, n.Details = audit.AdminAppointed, map[string]string{"user": mark(id), "role": string(role)}
	err := s.change(ctx, n, func(ctx context.Context, d ports.Directory) error {
		u := &tenancy.User{ID: id, Issuer: issuer, Subject: subject, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
		if err := d.Enrol(ctx, tenancy.Standing{User: u}); err != nil {
			return err
		}
		return d.UpdateUser(ctx, id, func(u *tenancy.User, others int) error {
			if role != tenancy.PlatformAdmin {
				if err := s.notLast(u, others); err != nil {
					return err
				}
			}
			if err := u.Apply(tenancy.Edit{Role: &role}, at); err != nil {
				return err
			}
			after = *u
			after.Version++
			return nil
		})
	})
	return &after, err
}

// mark tells a user from others in the record, to who knows whom to look for.
func mark(user tenancy.UserID) string {
	sum := sha256.Sum256([]byte("agentapi user\x00" + user.UUID()))
	return hex.EncodeToString(sum[:8])
}

// EditUser suspends a user in all organisations, or lets them in again.
func (s *Service) EditUser(ctx context.Context, who tenancy.Principal, user tenancy.UserID, versions []int, status tenancy.Status) (*tenancy.User, error) {
	return s.alterUser(ctx, who, user, versions, tenancy.Edit{Status: &status})
}

// Dismiss takes a user's role on the platform away. The last platform admin stays.
func (s *Service) Dismiss(ctx context.Context, who tenancy.Principal, user tenancy.UserID, versions []int) error {
	none := tenancy.Role("")
	_, err := s.alterUser(ctx, who, user, versions, tenancy.Edit{Role: &none})
	return err
}

func (s *Service) alterUser(ctx context.Context, who tenancy.Principal, user tenancy.UserID, versions []int, e tenancy.Edit) (*tenancy.User, error) {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return nil, err
	}
	var after tenancy.User
	what := audit.UserChanged
	if e.Role != nil {
		what = audit.AdminDismissed
	}
	err := s.change(ctx, note(who, what, "", map[string]string{"user": mark(user), "status": text(e.Status)}), func(ctx context.Context, d ports.Directory) error {
		return d.UpdateUser(ctx, user, func(u *tenancy.User, others int) error {
			if err := expect(versions, u.Version); err != nil {
				return err
			}
			if e.Role != nil && u.Platform == "" {
				return tenancy.NoUser()
			}
			if err := s.notLast(u, others); err != nil && (e.Role != nil || *e.Status != tenancy.Active) {
				return err
			}
			if e.Status != nil && *e.Status != tenancy.Active && user == who.User() {
				return fault.New(fault.Conflict, "You would shut yourself out: ask another administrator.").WithCode("own_account")
			}
			if err := u.Apply(e, s.Now()); err != nil {
				return err
			}
			after = *u
			after.Version++
			return nil
		})
	})
	return &after, err
}

// notLast refuses to take the last platform admin away.
func (s *Service) notLast(u *tenancy.User, others int) error {
	if u.Platform == tenancy.PlatformAdmin && u.Status == tenancy.Active && others == 0 && !s.Access.Configured() {
		return fault.New(fault.Conflict, "This is the last platform admin: appoint another before.").WithCode("last_admin")
	}
	return nil
}

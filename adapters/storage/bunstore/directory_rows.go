package bunstore

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type orgRow struct {
	bun.BaseModel `bun:"table:orgs,alias:o"`

	ID        string    `bun:"id,pk"`
	Issuer    string    `bun:"issuer"`
	Name      string    `bun:"name"`
	Title     string    `bun:"title"`
	Status    string    `bun:"status"`
	Sessions  int64     `bun:"keep_sessions_s"` // seconds; 0: as long as the server keeps them
	Usage     int64     `bun:"keep_usage_s"`
	Models    string    `bun:"models"`
	Folded    *string   `bun:"folded"` // null in rows of builds that did not search
	Limits    *string   `bun:"limits"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

func rowOfOrg(o *tenancy.Org) *orgRow {
	folded := storable(o.Folded())
	return &orgRow{
		Folded: &folded, ID: o.ID.UUID(), Issuer: storable(o.Issuer), Name: storable(o.Name), Title: storable(o.Title), Status: string(o.Status), Version: o.Version,
		Sessions: int64(o.Keeps.Sessions / time.Second), Usage: int64(o.Keeps.Usage / time.Second), Models: storable(string(o.Models)), Limits: granted(o.Limits),
		CreatedAt: session.Moment(o.Created), UpdatedAt: session.Moment(o.Updated),
	}
}

func (r *orgRow) org() (*tenancy.Org, error) {
	id, err := tenancy.ParseOrgID(r.ID)
	if err != nil {
		return nil, corrupt("organisation", err)
	}
	limits, err := allowed(r.Limits)
	if err != nil {
		return nil, corrupt("organisation", err)
	}
	return &tenancy.Org{
		ID: id, Issuer: r.Issuer, Name: r.Name, Title: r.Title, Status: tenancy.Status(r.Status), Version: r.Version,
		Keeps:   tenancy.Keeps{Sessions: time.Duration(r.Sessions) * time.Second, Usage: time.Duration(r.Usage) * time.Second},
		Models:  tenancy.Models(r.Models),
		Limits:  limits,
		Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}, nil
}

type userRow struct {
	bun.BaseModel `bun:"table:users,alias:u"`

	ID        string    `bun:"id,pk"`
	Issuer    string    `bun:"issuer"`
	Subject   string    `bun:"subject"`
	Platform  string    `bun:"platform"`
	Home      *string   `bun:"home"`
	Status    string    `bun:"status"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

func rowOfUser(u *tenancy.User) *userRow {
	r := &userRow{
		ID: u.ID.UUID(), Issuer: storable(u.Issuer), Subject: storable(u.Subject), Platform: string(u.Platform), Status: string(u.Status), Version: u.Version,
		CreatedAt: session.Moment(u.Created), UpdatedAt: session.Moment(u.Updated),
	}
	if !u.Home.IsZero() {
		home := u.Home.UUID()
		r.Home = &home
	}
	return r
}

func (r *userRow) user() (*tenancy.User, error) {
	id, err := tenancy.ParseUserID(r.ID)
	if err != nil {
		return nil, corrupt("user", err)
	}
	u := &tenancy.User{
		ID: id, Issuer: r.Issuer, Subject: r.Subject, Platform: tenancy.Role(r.Platform), Status: tenancy.Status(r.Status), Version: r.Version,
		Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}
	if r.Home != nil {
		if u.Home, err = tenancy.ParseOrgID(*r.Home); err != nil {
			return nil, corrupt("user", err)
		}
	}
	return u, nil
}

type memberRow struct {
	bun.BaseModel `bun:"table:memberships,alias:mb"`

	OrgID     string    `bun:"org_id,pk"`
	UserID    string    `bun:"user_id,pk"`
	Name      string    `bun:"name"`
	Email     string    `bun:"email"`
	Role      string    `bun:"role"`
	Given     bool      `bun:"given"`
	Folded    *string   `bun:"folded"` // null in rows of builds that did not search
	Status    string    `bun:"status"`
	Limits    *string   `bun:"limits"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

func rowOfMember(m *tenancy.Member) *memberRow {
	folded := storable(m.Folded())
	return &memberRow{
		Folded: &folded, OrgID: m.Org.UUID(), UserID: m.User.UUID(), Name: storable(m.Name), Email: storable(m.Email), Role: string(m.Role), Given: m.Given,
		Status: string(m.Status), Limits: granted(m.Limits), Version: m.Version, CreatedAt: session.Moment(m.Created), UpdatedAt: session.Moment(m.Updated),
	}
}

func (r *memberRow) member() (*tenancy.Member, error) {
	org, err := tenancy.ParseOrgID(r.OrgID)
	if err != nil {
		return nil, corrupt("membership", err)
	}
	user, err := tenancy.ParseUserID(r.UserID)
	if err != nil {
		return nil, corrupt("membership", err)
	}
	limits, err := allowed(r.Limits)
	if err != nil {
		return nil, corrupt("membership", err)
	}
	return &tenancy.Member{
		Org: org, User: user, Name: r.Name, Email: r.Email, Role: tenancy.Role(r.Role), Given: r.Given, Status: tenancy.Status(r.Status), Limits: limits, Version: r.Version,
		Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}, nil
}

type keyRow struct {
	bun.BaseModel `bun:"table:api_keys,alias:k"`

	OrgID     string     `bun:"org_id,pk"`
	ID        string     `bun:"id,pk"`
	UserID    string     `bun:"user_id"`
	Name      string     `bun:"name"`
	Hint      string     `bun:"hint"`
	Hash      string     `bun:"hash"`
	Pepper    string     `bun:"pepper"`
	Role      string     `bun:"role"`
	Models    string     `bun:"models"`
	Networks  string     `bun:"networks"`
	SCIM      bool       `bun:"scim"`
	Limits    *string    `bun:"limits"`
	ExpiresAt *time.Time `bun:"expires_at"`
	LastUsed  *time.Time `bun:"last_used_at"`
	RevokedAt *time.Time `bun:"revoked_at"`
	Version   int        `bun:"version"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
}

func rowOfKey(k *tenancy.APIKey) *keyRow {
	return &keyRow{
		OrgID: k.Org.UUID(), ID: k.ID.UUID(), UserID: k.User.UUID(), Name: storable(k.Name), Hint: storable(k.Hint),
		Hash: hex.EncodeToString(k.Hash[:]), Pepper: hex.EncodeToString(k.Pepper[:]), Role: string(k.Role), Models: listed(k.Models), Networks: listed(k.Networks), SCIM: k.SCIM, Limits: granted(k.Limits),
		ExpiresAt: when(k.Expires), LastUsed: when(k.LastUsed), RevokedAt: when(k.Revoked), Version: k.Version,
		CreatedAt: session.Moment(k.Created), UpdatedAt: session.Moment(k.Updated),
	}
}

// listed writes a list, which is never null.
func listed[T any](list []T) string {
	if len(list) == 0 {
		return "[]"
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "[]" // strings and networks can be written
	}
	return storable(string(text))
}

// when is null for a time that has not come.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = session.Moment(t)
	return &t
}

func (r *keyRow) key() (k *tenancy.APIKey, err error) {
	k = &tenancy.APIKey{
		Name: r.Name, Hint: r.Hint, Role: tenancy.Role(r.Role), SCIM: r.SCIM, Expires: value(r.ExpiresAt).UTC(), LastUsed: value(r.LastUsed).UTC(), Revoked: value(r.RevokedAt).UTC(),
		Version: r.Version, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}
	if k.ID, err = tenancy.ParseKeyID(r.ID); err != nil {
		return nil, corrupt("API key", err)
	}
	if k.Org, err = tenancy.ParseOrgID(r.OrgID); err != nil {
		return nil, corrupt("API key", err)
	}
	if k.User, err = tenancy.ParseUserID(r.UserID); err != nil {
		return nil, corrupt("API key", err)
	}
	if k.Limits, err = allowed(r.Limits); err != nil {
		return nil, corrupt("API key", err)
	}
	hash, err := hex.DecodeString(r.Hash)
	if err != nil || len(hash) != len(k.Hash) {
		return nil, corrupt("API key", err)
	}
	mark, err := hex.DecodeString(r.Pepper)
	if err != nil || len(mark) != len(k.Pepper) {
		return nil, corrupt("API key", err)
	}
	copy(k.Hash[:], hash)
	copy(k.Pepper[:], mark)
	var models []string
	var networks []netip.Prefix
	if err := json.Unmarshal([]byte(r.Models), &models); err != nil {
		return nil, corrupt("API key", err)
	}
	if err := json.Unmarshal([]byte(r.Networks), &networks); err != nil {
		return nil, corrupt("API key", err)
	}
	if len(models) > 0 {
		k.Models = models
	}
	if len(networks) > 0 {
		k.Networks = networks
	}
	return k, nil
}

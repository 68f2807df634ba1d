package tenancy

// Scope bounds what a repository may read and write. A Principal makes one, so
// that no tenant's data can be asked for without a caller who may have it.
// The zero Scope matches nothing.
type Scope struct {
	org  OrgID
	user UserID
}

// OnBehalf is the scope of a user for an operator who has the storage itself in
// hand. Only commands that run beside the storage may call it, never what answers
// requests.
func OnBehalf(org OrgID, user UserID) Scope { return Scope{org: org, user: user} }

// Org is the organisation whose rows are meant.
func (s Scope) Org() OrgID { return s.org }

// User is the user whose rows are meant.
func (s Scope) User() UserID { return s.user }

// Admits tells whether what belongs to user in org lies in the scope.
func (s Scope) Admits(org OrgID, user UserID) bool {
	return !s.org.IsZero() && s.org == org && s.user == user
}

// IsZero tells whether the scope matches nothing.
func (s Scope) IsZero() bool { return s.org.IsZero() || s.user.IsZero() }

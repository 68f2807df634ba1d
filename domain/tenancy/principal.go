package tenancy

import "agentapi/domain/fault"

// Principal is an authenticated caller: a user acting in one organisation.
// The zero Principal is nobody and its Scope matches nothing.
type Principal struct {
	org      OrgID
	user     UserID
	role     Role
	identity *Identity // nobody changes it; nil: nobody's
	origin   Origin
	models   Models
}

// NewPrincipal makes the principal of an identity whose organisation and user
// are known to be active.
func NewPrincipal(who Identity, org OrgID, user UserID) (Principal, error) {
	if org.IsZero() || user.IsZero() {
		return Principal{}, fault.New(fault.Forbidden, "Your credential names no organisation.").WithCode("org_required").
			WithHint("Log in to an organisation at your provider, so that the token names it, or have an organisation here invite your verified e-mail address.")
	}
	return Principal{org: org, user: user, role: who.Role, identity: &who}, nil
}

// Org is the organisation that the caller acts in.
func (p Principal) Org() OrgID { return p.org }

// User is the caller.
func (p Principal) User() UserID { return p.user }

// Role is the caller's role.
func (p Principal) Role() Role { return p.role }

// Key is the API key that the caller acts by; nil: the caller has come in person.
func (p Principal) Key() *APIKey {
	if p.identity == nil {
		return nil
	}
	return p.identity.Key
}

// MayAsk refuses a caller whose API key is not for a model, by any of its names.
// fault.Forbidden.
func (p Principal) MayAsk(names ...string) error {
	if k := p.Key(); k != nil && !k.AllowsModel(names...) {
		return fault.New(fault.Forbidden, "This API key is not for the model %s.", names[0]).WithCode("insufficient_permissions").WithParam("model")
	}
	return nil
}

// Within is the caller who may ask for no other models than their organisation may.
func (p Principal) Within(m Models) Principal {
	p.models = m
	return p
}

// OrgAllows tells whether the caller's organisation may ask for a model, by any of its
// names. To a caller one that it may not ask for is not there.
func (p Principal) OrgAllows(names ...string) bool { return p.models.Allow(names...) }

// Identity is what was verified about the caller.
func (p Principal) Identity() Identity {
	if p.identity == nil {
		return Identity{}
	}
	return *p.identity
}

// Scope is the caller's own: what belongs to this user in this organisation.
func (p Principal) Scope() Scope { return Scope{org: p.org, user: p.user} }

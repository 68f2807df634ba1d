package scim

import (
	"strings"

	"agentapi/adapters/http/rest"
	"agentapi/domain/fault"
	"agentapi/domain/roster"
)

// user is a person as SCIM shows them.
type user struct {
	Schemas  []string  `json:"schemas"`
	ID       string    `json:"id"`
	External string    `json:"externalId,omitempty"`
	UserName string    `json:"userName"`
	Name     *fullName `json:"name,omitempty"`
	Display  string    `json:"displayName,omitempty"`
	Emails   []email   `json:"emails,omitempty"`
	Active   bool      `json:"active"`
	Meta     meta      `json:"meta"`
}

type fullName struct {
	Formatted string `json:"formatted,omitempty"`
	Family    string `json:"familyName,omitempty"`
	Given     string `json:"givenName,omitempty"`
}

type email struct {
	Value   string `json:"value"`
	Type    string `json:"type"`
	Primary bool   `json:"primary"`
}

func userOf(p *roster.Person) user {
	u := user{
		Schemas: []string{userSchema}, ID: p.User.String(), External: p.External, UserName: p.UserName, Display: p.Display, Active: p.Active,
		Meta: meta{"User", p.Created.UTC(), p.Updated.UTC(), Base + "/Users/" + p.User.String(), rest.ETag(p.Tag())},
	}
	if n := (fullName{p.Formatted, p.Family, p.Given}); n != (fullName{}) {
		u.Name = &n
	}
	if p.Email != "" {
		u.Emails = []email{{p.Email, "work", true}}
	}
	return u
}

// fill has a person be what an object says; what it leaves out stays.
func fill(p *roster.Person, o object) error {
	for name, value := range o {
		if fixed(name) {
			continue // providers send back what they were shown
		}
		if err := set(p, name, value); err != nil {
			return err
		}
	}
	return nil
}

// set has one attribute, by its path, be a value; nil: none. Attributes that are not
// kept are passed over.
func set(p *roster.Person, path string, value any) (err error) {
	words := map[string]*string{
		"username": &p.UserName, "externalid": &p.External, "displayname": &p.Display,
		"name.givenname": &p.Given, "name.familyname": &p.Family, "name.formatted": &p.Formatted, "emails.value": &p.Email,
	}
	if to := words[path]; to != nil {
		*to, err = text(path, value)
		return err
	}
	switch path {
	case "active":
		p.Active, err = boolean("active", value)
	case "name":
		parts, ok := lower(value)
		if value == nil {
			parts, ok = object{"givenname": nil, "familyname": nil, "formatted": nil}, true
		}
		if !ok {
			return fault.Invalidf("name", "invalid_value", "name must be an object.")
		}
		for part, v := range parts {
			if err := set(p, "name."+part, v); err != nil {
				return err
			}
		}
	case "emails":
		p.Email, err = address(value)
	}
	return err
}

// address is the one that is kept of a list: the primary one, or else the first.
func address(value any) (string, error) {
	bad := fault.Invalidf("emails", "invalid_value", "emails must be a list of objects with a value.")
	all, ok := value.([]any)
	switch {
	case value == nil:
		return "", nil
	case !ok:
		all = []any{value}
	}
	found := ""
	for i, v := range all {
		if s, ok := v.(string); ok {
			v = map[string]any{"value": s}
		}
		o, ok := lower(v)
		if !ok {
			return "", bad
		}
		s, ok := o["value"].(string)
		if !ok {
			if o["value"] != nil {
				return "", bad
			}
			continue // providers send the addresses that somebody has not
		}
		if primary, _ := boolean("primary", o["primary"]); primary || i == 0 || found == "" {
			if found = s; primary {
				break
			}
		}
	}
	return found, nil
}

// alterUser carries out an operation.
func alterUser(p *roster.Person, op operation) error {
	if op.path == "" {
		o, _ := lower(op.value) // which operations has seen to
		return fill(p, o)
	}
	if fixed(op.path) {
		return isFixed(op.path)
	}
	if op.which != nil && strings.HasPrefix(op.path, "emails") && !ours(*op.which) {
		if op.which.attribute == "value" && op.op == "remove" && strings.EqualFold(p.Email, stringOf(op.which.value)) {
			p.Email = ""
		}
		return nil // another address, which is not kept
	}
	if op.op == "remove" {
		if op.path == "active" {
			return fault.Invalidf("active", "invalid_value", "active cannot be removed: it is true or false.")
		}
		return set(p, op.path, nil)
	}
	return set(p, op.path, op.value)
}

func stringOf(v any) string {
	s, _ := v.(string)
	return s
}

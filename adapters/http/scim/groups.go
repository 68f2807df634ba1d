package scim

import (
	"context"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/provision"
	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
)

// group is a group as SCIM shows it.
type group struct {
	Schemas  []string `json:"schemas"`
	ID       string   `json:"id"`
	External string   `json:"externalId,omitempty"`
	Display  string   `json:"displayName"`
	Members  []member `json:"members,omitempty"`
	Meta     meta     `json:"meta"`
}

type member struct {
	Value string `json:"value"`
	Ref   string `json:"$ref"`
	Type  string `json:"type"`
}

func groupOf(g *roster.Group, users []tenancy.UserID) group {
	out := group{
		Schemas: []string{groupSchema}, ID: g.ID.String(), External: g.External, Display: g.Name,
		Meta: meta{"Group", g.Created.UTC(), g.Updated.UTC(), Base + "/Groups/" + g.ID.String(), rest.ETag(g.Version)},
	}
	for _, u := range users {
		out.Members = append(out.Members, member{u.String(), Base + "/Users/" + u.String(), "User"})
	}
	return out
}

// groupID reads the group of the path; what is no id names none.
func groupID(c *fiber.Ctx) (roster.GroupID, error) {
	id, err := roster.ParseGroupID(c.Params("id"))
	if err != nil {
		return id, roster.NoGroup()
	}
	return id, nil
}

// groupFilter reads the filter of a list of groups. none is true where it can choose
// nothing.
func groupFilter(text string) (f roster.GroupFilter, none bool, err error) {
	tests, err := filter(text)
	for _, t := range tests {
		if err != nil {
			break
		}
		var words *string
		if words, err = t.words(); err != nil {
			break
		}
		var again bool
		switch t.attribute {
		case "displayname":
			again, f.Name = f.Name != nil, words
		case "externalid":
			again, f.External = f.External != nil, words
		case "id":
			id, bad := roster.ParseGroupID(*words)
			again, f.ID, none = f.ID != nil, &id, none || bad != nil
		case "members", "members.value":
			id, bad := tenancy.ParseUserID(*words)
			again, f.Member, none = f.Member != nil, &id, none || bad != nil
		default:
			err = badFilter("Groups are found by id, displayName, externalId and members.value.")
		}
		if again {
			return f, false, badFilter("The filter compares %s twice.", t.attribute)
		}
	}
	return f, none, err
}

// Groups answers GET /scim/v2/Groups. A page ends early where its groups have many
// members.
func (h *Handler) Groups(c *fiber.Ctx) error {
	w, err := windowOf(c)
	if err != nil {
		return err
	}
	f, none, err := groupFilter(c.Query("filter"))
	if err != nil {
		return err
	}
	if none {
		return sendList(c, w, 0, nil)
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, total, err := h.Provision.Groups(ctx, caller(c), f, w.start-1, w.count)
	if err != nil {
		return err
	}
	var out []any
	listed := 0
	for _, g := range found {
		shown, err := h.shown(ctx, c, g)
		if err != nil {
			return err
		}
		if listed += len(shown.Members); listed > maxListed && len(out) > 0 {
			break
		}
		out = append(out, shown)
	}
	return sendList(c, w, total, out)
}

// shown is a group, with its members where they are to be in the answer.
func (h *Handler) shown(ctx context.Context, c *fiber.Ctx, g *roster.Group) (group, error) {
	if !wants(c, "members") {
		return groupOf(g, nil), nil
	}
	users, err := h.Provision.Enlisted(ctx, caller(c), g.ID)
	return groupOf(g, users), err
}

// sendGroup answers with a group.
func (h *Handler) sendGroup(ctx context.Context, c *fiber.Ctx, status int, g *roster.Group) error {
	v, err := h.shown(ctx, c, g)
	if err != nil {
		return err
	}
	return resource(c, status, g.Version, v)
}

// Group answers GET /scim/v2/Groups/{id}.
func (h *Handler) Group(c *fiber.Ctx) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	g, err := h.Provision.Group(ctx, caller(c), id)
	if err != nil {
		return err
	}
	return h.sendGroup(ctx, c, http.StatusOK, g)
}

// AddGroup answers POST /scim/v2/Groups.
func (h *Handler) AddGroup(c *fiber.Ctx) error {
	o, err := body(c)
	if err != nil {
		return err
	}
	g := provision.Group{Members: provision.Set{}}
	if err := replaceGroup(&g, o); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	made, err := h.Provision.AddGroup(ctx, caller(c), g)
	if err != nil {
		return err
	}
	c.Set("Location", Base+"/Groups/"+made.ID.String())
	return h.sendGroup(ctx, c, http.StatusCreated, made)
}

// ReplaceGroup answers PUT /scim/v2/Groups/{id}.
func (h *Handler) ReplaceGroup(c *fiber.Ctx) error {
	o, err := body(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	g, err := h.editGroup(ctx, c, func(g *provision.Group) error {
		clear(g.Members)
		return replaceGroup(g, o)
	})
	if err != nil {
		return err
	}
	return h.sendGroup(ctx, c, http.StatusOK, g)
}

// PatchGroup answers PATCH /scim/v2/Groups/{id}, without the group: it may have many
// members.
func (h *Handler) PatchGroup(c *fiber.Ctx) error {
	o, err := body(c)
	if err != nil {
		return err
	}
	ops, err := operations(o)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	g, err := h.editGroup(ctx, c, func(g *provision.Group) error {
		for _, op := range ops {
			if err := alterGroup(g, op); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.Set("ETag", rest.ETag(g.Version))
	c.Status(http.StatusNoContent)
	return nil
}

func (h *Handler) editGroup(ctx context.Context, c *fiber.Ctx, change func(*provision.Group) error) (*roster.Group, error) {
	id, err := groupID(c)
	if err != nil {
		return nil, err
	}
	return h.Provision.EditGroup(ctx, caller(c), id, versions(c), change)
}

// RemoveGroup answers DELETE /scim/v2/Groups/{id}.
func (h *Handler) RemoveGroup(c *fiber.Ctx) error {
	id, err := groupID(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	if err := h.Provision.RemoveGroup(ctx, caller(c), id, versions(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// replaceGroup has a group be what an object says.
func replaceGroup(g *provision.Group, o object) error {
	for name, value := range o {
		if !fixed(name) { // providers send back what they were shown
			if err := alterGroup(g, operation{op: "replace", path: name, value: value}); err != nil {
				return err
			}
		}
	}
	return nil
}

// alterGroup carries out an operation. Attributes that are not kept are passed over.
func alterGroup(g *provision.Group, op operation) (err error) {
	value := op.value
	if op.op == "remove" && op.path != "members" {
		value = nil
	}
	switch {
	case op.path == "":
		o, _ := lower(op.value) // which operations has seen to
		for name, v := range o {
			if !fixed(name) {
				if err := alterGroup(g, operation{op: op.op, path: name, value: v}); err != nil {
					return err
				}
			}
		}
	case fixed(op.path):
		return isFixed(op.path)
	case op.path == "displayname":
		g.Name, err = text("displayName", value)
	case op.path == "externalid":
		g.External, err = text("externalId", value)
	case op.path == "members":
		return alterMembers(g, op)
	}
	return err
}

func alterMembers(g *provision.Group, op operation) error {
	if op.which != nil {
		if op.which.attribute != "value" || op.op != "remove" {
			return fault.Invalidf("path", "invalid_path", "Of members one is chosen by its value, to be removed.")
		}
		delete(g.Members, person(stringOf(op.which.value)))
		return nil
	}
	users, err := people(op.value)
	if err != nil {
		return err
	}
	switch {
	case op.op == "remove" && op.value == nil, op.op == "replace":
		clear(g.Members)
	}
	for _, u := range users {
		if op.op == "remove" {
			delete(g.Members, u)
		} else {
			g.Members[u] = true
		}
	}
	return nil
}

// person is who an id names; what is no id names nobody.
func person(id string) tenancy.UserID {
	u, err := tenancy.ParseUserID(id)
	if err != nil {
		return tenancy.UserID{}
	}
	return u
}

// people reads a list of members, or one.
func people(value any) ([]tenancy.UserID, error) {
	all, ok := value.([]any)
	switch {
	case value == nil:
		return nil, nil
	case !ok:
		all = []any{value}
	}
	out := make([]tenancy.UserID, len(all))
	for i, v := range all {
		o, ok := lower(v)
		s, is := o["value"].(string)
		if !ok || !is {
			return nil, fault.Invalidf("members", "invalid_value", "members must be a list of objects with a value.")
		}
		out[i] = person(s)
	}
	return out, nil
}

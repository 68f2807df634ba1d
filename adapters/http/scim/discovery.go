package scim

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
)

// The schemas of what describes the server.
const (
	configSchema = schemas + "ServiceProviderConfig"
	typeSchema   = schemas + "ResourceType"
	schemaSchema = schemas + "Schema"
)

// supported says whether something is.
type supported struct {
	Supported bool `json:"supported"`
}

type where struct {
	Type     string `json:"resourceType"`
	Location string `json:"location"`
}

type scheme struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description"`
	SpecURI     string `json:"specUri"`
	Primary     bool   `json:"primary"`
}

type serviceConfig struct {
	Schemas []string  `json:"schemas"`
	Patch   supported `json:"patch"`
	Bulk    struct {
		supported
		Operations int `json:"maxOperations"`
		Payload    int `json:"maxPayloadSize"`
	} `json:"bulk"`
	Filter struct {
		supported
		Results int `json:"maxResults"`
	} `json:"filter"`
	Password supported `json:"changePassword"`
	Sort     supported `json:"sort"`
	ETag     supported `json:"etag"`
	Login    []scheme  `json:"authenticationSchemes"`
	Meta     where     `json:"meta"`
}

// Config answers GET /scim/v2/ServiceProviderConfig.
func (h *Handler) Config(c *fiber.Ctx) error {
	s := serviceConfig{
		Schemas: []string{configSchema}, Patch: supported{true}, ETag: supported{true},
		Login: []scheme{{
			"oauthbearertoken", "API key", "An API key that was made for provisioning, as a bearer token.", "https://www.rfc-editor.org/rfc/rfc6750", true,
		}},
		Meta: where{"ServiceProviderConfig", Base + "/ServiceProviderConfig"},
	}
	s.Filter.Supported, s.Filter.Results = true, maxCount
	return send(c, http.StatusOK, s)
}

type resourceType struct {
	Schemas     []string `json:"schemas"`
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Endpoint    string   `json:"endpoint"`
	Schema      string   `json:"schema"`
	Meta        where    `json:"meta"`
}

func resourceTypes() []resourceType {
	of := func(name, description, schema string) resourceType {
		return resourceType{[]string{typeSchema}, name, name, description, "/" + name + "s", schema, where{"ResourceType", Base + "/ResourceTypes/" + name}}
	}
	return []resourceType{of("User", "A member of the organisation.", userSchema), of("Group", "Members of the organisation, under one name.", groupSchema)}
}

// Types answers GET /scim/v2/ResourceTypes.
func (h *Handler) Types(c *fiber.Ctx) error { return sendAll(c, resourceTypes()) }

// Type answers GET /scim/v2/ResourceTypes/{id}.
func (h *Handler) Type(c *fiber.Ctx) error {
	return sendOne(c, resourceTypes(), func(t resourceType) string { return t.ID })
}

type attributeOf struct {
	Name       string        `json:"name"`
	Type       string        `json:"type"`
	Sub        []attributeOf `json:"subAttributes,omitempty"`
	Several    bool          `json:"multiValued"`
	About      string        `json:"description"`
	Required   bool          `json:"required"`
	Exact      bool          `json:"caseExact"`
	Mutability string        `json:"mutability"`
	Returned   string        `json:"returned"`
	Uniqueness string        `json:"uniqueness"`
	References []string      `json:"referenceTypes,omitempty"`
}

type schema struct {
	Schemas    []string      `json:"schemas"`
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	About      string        `json:"description"`
	Attributes []attributeOf `json:"attributes"`
	Meta       where         `json:"meta"`
}

// plainText is an attribute that is a string.
func plainText(name, about string) attributeOf {
	return attributeOf{Name: name, Type: "string", About: about, Mutability: "readWrite", Returned: "default", Uniqueness: "none"}
}

func with(a attributeOf, change func(*attributeOf)) attributeOf {
	change(&a)
	return a
}

func allSchemas() []schema {
	unique := func(a *attributeOf) { a.Required, a.Uniqueness = true, "server" }
	user := []attributeOf{
		with(plainText("userName", "Unique in the organisation, whatever its case."), unique),
		with(plainText("name", "The parts of the name."), func(a *attributeOf) {
			a.Type, a.Sub = "complex", []attributeOf{plainText("formatted", "The whole name."), plainText("familyName", "The family name."), plainText("givenName", "The given name.")}
		}),
		plainText("displayName", "What people call the user."),
		with(plainText("active", "False: the user is shut out, and all is kept."), func(a *attributeOf) { a.Type = "boolean" }),
		with(plainText("emails", "The primary address, or else the first; others are not kept."), func(a *attributeOf) {
			a.Type, a.Several, a.Sub = "complex", true, []attributeOf{
				plainText("value", "The address."),
				with(plainText("type", "Always work."), func(a *attributeOf) { a.Mutability = "readOnly" }),
				with(plainText("primary", "Always true."), func(a *attributeOf) { a.Type, a.Mutability = "boolean", "readOnly" }),
			}
		}),
	}
	group := []attributeOf{
		with(plainText("displayName", "Unique in the organisation, whatever its case."), unique),
		with(plainText("members", "Users of the organisation."), func(a *attributeOf) {
			a.Type, a.Several, a.Sub = "complex", true, []attributeOf{
				with(plainText("value", "The user's id."), func(a *attributeOf) { a.Mutability = "immutable" }),
				with(plainText("$ref", "The user's address."), func(a *attributeOf) {
					a.Type, a.Mutability, a.References, a.Exact = "reference", "immutable", []string{"User"}, true
				}),
				with(plainText("type", "Always User."), func(a *attributeOf) { a.Mutability = "immutable" }),
			}
		}),
	}
	of := func(id, name, about string, attributes []attributeOf) schema {
		return schema{[]string{schemaSchema}, id, name, about, attributes, where{"Schema", Base + "/Schemas/" + id}}
	}
	return []schema{of(userSchema, "User", "A member of the organisation.", user), of(groupSchema, "Group", "Members under one name.", group)}
}

// Schemas answers GET /scim/v2/Schemas.
func (h *Handler) Schemas(c *fiber.Ctx) error { return sendAll(c, allSchemas()) }

// Schema answers GET /scim/v2/Schemas/{id}.
func (h *Handler) Schema(c *fiber.Ctx) error {
	return sendOne(c, allSchemas(), func(s schema) string { return s.ID })
}

func sendAll[T any](c *fiber.Ctx, all []T) error {
	out := make([]any, len(all))
	for i, v := range all {
		out[i] = v
	}
	return send(c, http.StatusOK, list{[]string{listResponse}, len(out), 1, len(out), out})
}

func sendOne[T any](c *fiber.Ctx, all []T, id func(T) string) error {
	for _, v := range all {
		if strings.EqualFold(id(v), c.Params("id")) {
			return send(c, http.StatusOK, v)
		}
	}
	return fault.NotFoundf("not_found", "There is no such description.")
}

// Package openapi holds what is said over HTTP to the document that describes it.
//
// Schemas of OpenAPI 3.1 are JSON Schema 2020-12, so a whole validator of that does
// the work; of OpenAPI itself only what the document uses is read.
package openapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"agentapi/configs"
)

// object is a JSON object.
type object = map[string]any

// Document is an OpenAPI document. It is safe for concurrent use.
type Document struct {
	root   object
	ops    []*Operation
	exact  *jsonschema.Compiler // upstream members are not taken
	open   *jsonschema.Compiler
	mu     sync.Mutex
	schema map[compiled]*jsonschema.Schema
}

// compiled is a place in the document, and whether upstream members are taken there.
type compiled struct {
	pointer string
	open    bool
}

// Operation is one of a document.
type Operation struct {
	Method, Path, ID string
	Permission       string
	Parameters       []*Parameter

	segments []string
	rest     bool // the last parameter takes slashes
	at       node
}

// Parameter is one of an operation.
type Parameter struct {
	Name, In          string
	Required, Explode bool

	schema node
}

// node is a place in the document and what is there, references followed.
type node struct {
	pointer string
	object
}

// Ours is the document that the server has.
var Ours = sync.OnceValues(func() (*Document, error) {
	text, err := configs.OpenAPIJSON()
	if err != nil {
		return nil, err
	}
	return Load(text)
})

// Load reads a document.
func Load(text []byte) (*Document, error) {
	root, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	d := &Document{root: root.(object), schema: map[compiled]*jsonschema.Schema{}}
	if d.open, err = compiler(root); err != nil {
		return nil, err
	}
	closed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	shut(closed)
	if d.exact, err = compiler(closed); err != nil {
		return nil, err
	}
	for path, item := range d.at(node{"", d.root}, "paths").each() {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if at := d.at(item, method); at.object != nil {
				d.ops = append(d.ops, d.operation(strings.ToUpper(method), path, at))
			}
		}
	}
	// Where two paths fit, the one whose first difference is no parameter is meant.
	slices.SortFunc(d.ops, func(a, b *Operation) int { return strings.Compare(weight(a.Path), weight(b.Path)) })
	return d, nil
}

func weight(path string) string { return strings.ReplaceAll(path, "{", "\xff") }

func compiler(doc any) (*jsonschema.Compiler, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	return c, c.AddResource(address, doc)
}

const address = "mem:///openapi.json"

// shut takes the freedom from objects that a provider may add to.
func shut(v any) {
	switch v := v.(type) {
	case object:
		if v["x-agentapi-upstream"] == true {
			v["additionalProperties"] = false
		}
		for _, w := range v {
			shut(w)
		}
	case []any:
		for _, w := range v {
			shut(w)
		}
	}
}

func (d *Document) operation(method, path string, at node) *Operation {
	op := &Operation{Method: method, Path: path, segments: strings.Split(path, "/"), at: at}
	op.ID, _ = at.object["operationId"].(string)
	op.Permission, _ = at.object["x-agentapi-permission"].(string)
	list, _ := at.object["parameters"].([]any)
	for i := range list {
		n := d.follow(node{fmt.Sprintf("%s/parameters/%d", at.pointer, i), list[i].(object)})
		p := &Parameter{Explode: n.object["explode"] != false, Required: n.object["required"] == true, schema: d.at(n, "schema")}
		p.Name, _ = n.object["name"].(string)
		p.In, _ = n.object["in"].(string)
		op.rest = op.rest || n.object["x-agentapi-slashes"] == true
		op.Parameters = append(op.Parameters, p)
	}
	return op
}

// Operations are all of the document.
func (d *Document) Operations() []*Operation { return d.ops }

// find gives the operation that a request is for.
func (d *Document) find(method, path string) *Operation {
	got := strings.Split(path, "/")
	for _, op := range d.ops {
		if op.Method == method && op.fits(got) {
			return op
		}
	}
	return nil
}

func (op *Operation) fits(got []string) bool {
	if op.rest && len(got) > len(op.segments) {
		got = got[:len(op.segments)]
	}
	if len(got) != len(op.segments) {
		return false
	}
	for i, s := range op.segments {
		if s != got[i] && (!strings.HasPrefix(s, "{") || got[i] == "") {
			return false
		}
	}
	return true
}

// at is a member of a node; its object is nil where there is none.
func (d *Document) at(n node, name string) node {
	v, _ := n.object[name].(object)
	if v == nil {
		return node{}
	}
	return d.follow(node{n.pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name), v})
}

// follow follows a reference. A schema's stays as it is, for it may say more.
func (d *Document) follow(n node) node {
	to, is := n.object["$ref"].(string)
	if !is || !strings.HasPrefix(to, "#/components/") || strings.HasPrefix(to, "#/components/schemas/") {
		return n
	}
	parts := strings.Split(to, "/")
	return d.at(d.at(d.at(node{"", d.root}, "components"), parts[2]), parts[3])
}

// each gives the members that are objects.
func (n node) each() func(yield func(string, node) bool) {
	return func(yield func(string, node) bool) {
		for name := range n.object {
			if v, is := n.object[name].(object); is {
				if !yield(name, node{n.pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name), v}) {
					return
				}
			}
		}
	}
}

// valid holds a value to the schema at a place.
func (d *Document) valid(at node, open bool, v any) error {
	if at.object == nil {
		return nil
	}
	d.mu.Lock()
	s, err := d.schema[compiled{at.pointer, open}], error(nil)
	if s == nil {
		c := d.exact
		if open {
			c = d.open
		}
		if s, err = c.Compile(address + "#" + at.pointer); err == nil {
			d.schema[compiled{at.pointer, open}] = s
		}
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// decode reads a text as what the schema says it is.
func decode(schema object, text string) any {
	switch schema["type"] {
	case "integer", "number":
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return json.Number(text)
		}
	case "boolean":
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	return text
}

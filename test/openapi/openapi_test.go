package openapi

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	web "agentapi/adapters/http"
	"agentapi/configs"
	"agentapi/domain/audit"
	"agentapi/domain/tenancy"
)

func ours(t *testing.T) *Document {
	t.Helper()
	d, err := Ours()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// described is a route's path as the document writes it.
func described(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, is := strings.CutPrefix(p, ":"); is {
			parts[i] = "{" + name + "}"
		}
		if p == "*" {
			parts[i] = "{model}"
		}
	}
	return strings.Join(parts, "/")
}

func TestEachRouteIsDescribedAndWhatIsDescribedIsServed(t *testing.T) {
	left := map[string]*Operation{}
	for _, op := range ours(t).Operations() {
		left[op.Method+" "+op.Path] = op
	}
	for _, r := range web.Surface() {
		name := r.Method + " " + described(r.Path)
		op := left[name]
		if op == nil {
			t.Errorf("%s is served and not described: add it to configs/openapi.yaml", name)
			continue
		}
		delete(left, name)
		if op.Permission != string(r.May) {
			t.Errorf("%s takes %q, and the document says %q", name, r.May, op.Permission)
		}
		if _, open := op.at.object["security"]; open != (r.May == "") {
			t.Errorf("%s: the document is wrong about whether it is open to all", name)
		}
	}
	for name := range left {
		t.Errorf("%s is described and not served", name)
	}
}

func TestEachOperationIsWhole(t *testing.T) {
	ids := map[string]bool{}
	tags := map[string]bool{}
	for _, v := range ours(t).root["tags"].([]any) {
		tags[v.(object)["name"].(string)] = true
	}
	for _, op := range ours(t).Operations() {
		name := op.Method + " " + op.Path
		if op.ID == "" || ids[op.ID] {
			t.Errorf("%s has no operationId of its own", name)
		}
		ids[op.ID] = true
		if s, _ := op.at.object["summary"].(string); s == "" || strings.HasSuffix(s, ".") {
			t.Errorf("%s has no summary, or one that ends in a full stop", name)
		}
		if list, _ := op.at.object["tags"].([]any); len(list) != 1 || !tags[list[0].(string)] {
			t.Errorf("%s has tags %v", name, list)
		}
		var in []string
		for _, p := range op.Parameters {
			if p.In == "path" {
				in = append(in, "{"+p.Name+"}")
			}
			if p.schema.object == nil || p.In == "path" != p.Required && p.In != "query" {
				t.Errorf("%s: the parameter %s has no schema, or is wrong about whether it must be there", name, p.Name)
			}
		}
		if got := slices.DeleteFunc(slices.Clone(op.segments), func(s string) bool { return !strings.HasPrefix(s, "{") }); !slices.Equal(got, in) {
			t.Errorf("%s has the path parameters %v", name, in)
		}
		if ours(t).at(ours(t).at(op.at, "responses"), "default").object == nil {
			t.Errorf("%s does not say how it fails", name)
		}
	}
}

// A reference that leads nowhere would say nothing, and break generators of clients.
func TestEachReferenceLeadsSomewhere(t *testing.T) {
	d := ours(t)
	seen := 0
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case object:
			if to, is := v["$ref"].(string); is {
				seen++
				parts := strings.Split(to, "/")
				if len(parts) != 4 || !strings.HasPrefix(to, "#/components/") || d.at(d.at(d.at(node{"", d.root}, "components"), parts[2]), parts[3]).object == nil {
					t.Errorf("%s refers to %s, and that is not there", at, to)
				}
			}
			for name, w := range v {
				walk(at+"/"+name, w)
			}
		case []any:
			for i, w := range v {
				walk(at+"/"+strconv.Itoa(i), w)
			}
		}
	}
	if walk("", d.root); seen < 1000 {
		t.Errorf("only %d references", seen)
	}
}

// Each schema compiles, says whether there may be more members than it names, and is
// true of its examples.
func TestEachSchemaIsStrictAndTrueOfItsExamples(t *testing.T) {
	d := ours(t)
	root := node{"", d.root}
	var walk func(n node)
	walk = func(n node) {
		_, more := n.object["additionalProperties"]
		_, rest := n.object["unevaluatedProperties"]
		base := slices.Contains([]string{"/components/schemas/List", "/components/schemas/OpenAIList", "/components/schemas/AuditAnswer", "/components/schemas/Versioned"}, n.pointer)
		if n.object["type"] == "object" && !more && !rest && !base {
			t.Errorf("%s does not say whether there may be more", n.pointer)
		}
		for _, m := range n.each() {
			walk(m)
		}
	}
	for name, n := range d.at(d.at(root, "components"), "schemas").each() {
		walk(n)
		if err := d.valid(n, true, "x"); err != nil && strings.Contains(err.Error(), "compil") {
			t.Errorf("%s: %v", name, err)
		}
	}
	examples := 0
	for _, kind := range []string{"requestBodies", "responses"} {
		for name, n := range d.at(d.at(root, "components"), kind).each() {
			for mime, media := range d.at(n, "content").each() {
				example, there := media.object["example"]
				if !there || !strings.HasSuffix(mime, "json") {
					continue
				}
				examples++
				if err := d.valid(d.at(media, "schema"), false, example); err != nil {
					t.Errorf("the example of %s: %v", name, err)
				}
			}
		}
	}
	if examples < 20 {
		t.Errorf("only %d examples", examples)
	}
}

func TestTheJSONKeepsTheOrderOfTheYAML(t *testing.T) {
	text, err := configs.OpenAPIJSON()
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, word := range []string{`"openapi"`, `"info"`, `"paths"`, `"/livez"`, `"/v1/chat/completions"`, `"/api/v1/me"`, `"components"`} {
		at := strings.Index(string(text), word)
		if at <= last {
			t.Errorf("%s stands at %d", word, at)
		}
		last = at
	}
}

// The document's closed lists are the code's.
func TestTheListsOfWordsAreTheCodes(t *testing.T) {
	enum := func(name string) (out []string) {
		schema := ours(t).at(ours(t).at(ours(t).at(node{"", ours(t).root}, "components"), "schemas"), name)
		for _, v := range schema.object["enum"].([]any) {
			out = append(out, v.(string))
		}
		slices.Sort(out)
		return out
	}
	if got, want := enum("AuditAction"), texts(audit.Actions()); !slices.Equal(got, want) {
		t.Errorf("the actions are %v\nnot %v", want, got)
	}
	if got, want := enum("Role"), texts(tenancy.Roles()); !slices.Equal(got, want) {
		t.Errorf("the roles are %v\nnot %v", want, got)
	}
}

func texts[S ~string](list []S) (out []string) {
	for _, s := range list {
		out = append(out, string(s))
	}
	slices.Sort(out)
	return out
}

package reference

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	web "agentapi/adapters/http"
	"agentapi/configs"
	"agentapi/domain/audit"
	"agentapi/domain/tenancy"
)

const root = "../.."

// sources calls each for every file of the program, without its tests.
func sources(t *testing.T, each func(path string, f *ast.File)) {
	t.Helper()
	for _, ring := range []string{"domain", "application", "adapters", "bootstrap", "configs"} {
		err := filepath.WalkDir(filepath.Join(root, ring), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
			if err == nil {
				each(filepath.ToSlash(path), f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// literal is the text of a string in the source, or "".
func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(l.Value) // the parser has read it
	return text
}

// table gives what stands as code in the first column of the table of a page that has
// this head; `.x` behind `a.b` stands for `a.x`.
func table(t *testing.T, page, head string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut("\n"+string(text), "\n"+head)
	rows, _, _ := strings.Cut(rest, "\n\n")
	if !ok {
		t.Fatalf("%s has no table with the head %s", page, head)
	}
	for row := range strings.SplitSeq(rows, "\n| ") {
		first, _, _ := strings.Cut(row, " |")
		stem := ""
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
			name := m[1]
			if name[0] == '.' {
				name = stem + name
			}
			stem, _, _ = strings.Cut(name, ".")
			names = append(names, name)
		}
	}
	return names
}

// same holds a table to the code's list.
func same(t *testing.T, page string, told, list []string) {
	t.Helper()
	slices.Sort(told)
	slices.Sort(list)
	list = slices.Compact(list)
	for i, name := range told {
		if i > 0 && told[i-1] == name {
			t.Errorf("%s has %s twice", page, name)
		}
		if !slices.Contains(list, name) {
			t.Errorf("%s tells of %s, which the code has not", page, name)
		}
	}
	for _, name := range list {
		if !slices.Contains(told, name) {
			t.Errorf("%s does not tell of %s", page, name)
		}
	}
}

// The codes are what faults are made with, what kinds of faults have where they have
// none of their own, and what is said of HTTP itself.
func TestEveryErrorCodeIsTold(t *testing.T) {
	var codes []string
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)+$|^(conflict|mutability|uniqueness)$`)
	where := map[string]int{"WithCode": 0, "NotFoundf": 0, "Invalidf": 1}
	sources(t, func(path string, f *ast.File) {
		rows := strings.HasSuffix(path, "adapters/http/problem/table.go")
		ast.Inspect(f, func(n ast.Node) bool {
			said := ""
			switch n := n.(type) {
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok {
					if i, ok := where[s.Sel.Name]; ok && len(n.Args) > i {
						said = literal(n.Args[i])
					}
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Code" {
					said = literal(n.Value)
				}
			case *ast.CompositeLit:
				for _, e := range n.Elts {
					if rows && word.MatchString(literal(e)) {
						codes = append(codes, literal(e))
					}
				}
			}
			if said != "" && word.MatchString(said) && !strings.Contains(path, "adapters/telemetry") {
				codes = append(codes, said)
			}
			return true
		})
	})
	if len(codes) < 200 {
		t.Fatalf("only %d uses of codes were found", len(codes))
	}
	same(t, "adapters/README.md", table(t, "adapters/README.md", "| code | status | meaning |"), codes)
}

// A variable is what the configuration or the program names, alone in a string.
func TestEveryVariableIsTold(t *testing.T) {
	var names []string
	variable := regexp.MustCompile(`^(PORT|DISPLAY|GOGC|[A-Z]+(_[A-Z]+)+)$`)
	sources(t, func(path string, f *ast.File) {
		if !strings.Contains(path, "/bootstrap/") && !strings.Contains(path, "/configs/") {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && variable.MatchString(literal(l)) && !strings.HasPrefix(literal(l), "YOUR_") {
				names = append(names, literal(l))
			}
			return true
		})
	})
	if len(names) < 50 {
		t.Fatalf("only %d uses of variables were found", len(names))
	}
	same(t, "configs/README.md", table(t, "configs/README.md", "| variable | meaning |"), names)
}

func TestEveryActionOfTheAuditLogIsTold(t *testing.T) {
	var all []string
	for _, a := range audit.Actions() {
		all = append(all, string(a))
	}
	same(t, "domain/audit/README.md", table(t, "domain/audit/README.md", "| action | when |"), all)
}

// What a permission is for is what the constant's comment says.
func TestThePermissionsAreTold(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "domain/tenancy/policy.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| permission | to |")
	for _, r := range tenancy.Roles() {
		fmt.Fprintf(&b, " `%s` |", r)
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" --- |", len(tenancy.Roles())))
	told := 0
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "Permission" {
			return true
		}
		p := tenancy.Permission(literal(v.Values[0]))
		fmt.Fprintf(&b, "\n| `%s` | %s |", p, strings.ReplaceAll(strings.TrimPrefix(strings.TrimSpace(v.Comment.Text()), "to "), ", and to ", ", and "))
		for _, r := range tenancy.Roles() {
			fmt.Fprintf(&b, " %s |", map[bool]string{true: "✓"}[r.Can(p)])
		}
		told++
		return true
	})
	if told < 15 {
		t.Fatalf("only %d permissions were found", told)
	}
	Hold(t, filepath.Join(root, "domain/tenancy/README.md"), "permissions", b.String()+"\n")
}

// A path is a route with its method, a file is there, and what is said not to be there
// is not.
func TestWhatLanguageModelsAreToldIsThere(t *testing.T) {
	routes := map[string]bool{}
	parameter := regexp.MustCompile(`:(\w+)`)
	for _, r := range web.Surface() {
		routes[r.Method+" "+parameter.ReplaceAllString(r.Path, "{$1}")] = true
		routes[r.Path] = true
	}
	text, none, absent := configs.LLMs(), regexp.MustCompile(`There is no ([^.]*)\.`), regexp.MustCompile(`/v1/[\w/]+`)
	for _, path := range absent.FindAllString(none.FindString(string(text)), -1) {
		if routes[path] {
			t.Errorf("%s is said not to be there", path)
		}
	}
	text = none.ReplaceAll(text, nil)
	paths := regexp.MustCompile(`(GET|POST|PATCH|DELETE) (/[\w./{}-]*[\w}])`).FindAllStringSubmatch(string(text), -1)
	for _, m := range paths {
		if !routes[m[1]+" "+m[2]] {
			t.Errorf("%s %s is no route", m[1], m[2])
		}
	}
	if bare := regexp.MustCompile(`(?:^|[\s(])/[\w./{}-]+`).FindAllIndex(text, -1); len(paths) < 15 || len(bare) != len(paths) {
		t.Errorf("%d paths are named, %d of them with a method", len(bare), len(paths))
	}
	files := regexp.MustCompile(`[\w-]+(?:/[\w-]+)*\.(?:md|json|yaml)\b`).FindAllIndex(text, -1)
	found := 0
	for _, at := range files {
		name := string(text[at[0]:at[1]])
		if text[at[0]-1] == '/' {
			continue // a path
		}
		if found++; !exists(name) {
			t.Errorf("there is no file %s", name)
		}
	}
	if found < 8 {
		t.Errorf("only %d files are named", found)
	}
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

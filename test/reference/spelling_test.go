package reference

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	american = regexp.MustCompile(`(?i)\borganizations?\b`)
	// What others have named: in code, in paths, in headers, and as values and keys.
	names = regexp.MustCompile("`[^`]*`|[\\w/.:{}-]*[/._-]organizations?\\b[\\w/.:{}-]*|\\borganization[._][\\w.]*|\"organizations?\"|client\\.admin\\.organization|OpenAI-Organization|:\\s*organization\\b|\\borganization:")
)

// Texts for people are spelled one way; names in the API, of settings and of OpenAI's are
// as they are.
func TestTextsSpellOrganisationOneWay(t *testing.T) {
	hold := func(place, text string) {
		if american.MatchString(names.ReplaceAllString(text, "")) {
			t.Errorf("%s: %.200s", place, text)
		}
	}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "node_modules" || d.Name() == "portmock"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			text, err := os.ReadFile(path)
			for i, line := range strings.Split(string(text), "\n") {
				hold(path+":"+strconv.Itoa(i+1), line)
			}
			return err
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.Field: // whose tag may have what help says
				if n.Tag != nil {
					hold(files.Position(n.Pos()).String(), strings.Trim(n.Tag.Value, "`"))
				}
				return false
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && strings.Contains(text, " ") {
					hold(files.Position(n.Pos()).String(), text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

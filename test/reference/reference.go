// Package reference holds pages to the code that they tell of.
package reference

import (
	"os"
	"strings"
	"testing"
)

// Hold holds the part of a page between <!-- name: … --> and <!-- end --> to text.
// With AGENTAPI_TEST_WRITE=1, as in `task generate`, it writes it there instead.
func Hold(t testing.TB, page, name, text string) {
	t.Helper()
	all, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(all), "<!-- "+name+": ")
	head, rest, headed := strings.Cut(rest, "-->\n\n")
	had, after, ended := strings.Cut(rest, "\n<!-- end -->")
	switch {
	case !begun || !headed || !ended:
		t.Fatalf("%s has no part between <!-- %s: … --> and <!-- end -->", page, name)
	case had == text:
	case os.Getenv("AGENTAPI_TEST_WRITE") != "1":
		t.Errorf("%s is not what the code says; run: task generate", page)
	default:
		all = []byte(before + "<!-- " + name + ": " + head + "-->\n\n" + text + "\n<!-- end -->" + after)
		if err := os.WriteFile(page, all, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

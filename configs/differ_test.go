package configs

import (
	"slices"
	"testing"
)

func TestWhatDiffersIsTold(t *testing.T) {
	read := func(text string) *Config {
		t.Helper()
		n, err := parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return &Config{tree: n}
	}
	for name, c := range map[string]struct {
		old, now string
		want     []string
	}{
		"nothing":               {"a: {b: 1}\n", "a:\n  b: 1\n", nil},
		"a value":               {"a: {b: 1, c: 2}\n", "a: {b: 1, c: 3}\n", []string{"a.c"}},
		"a secret":              {"a: {token: one}\n", "a: {token: two}\n", []string{"a.token"}},
		"what is new":           {"a: {b: 1}\n", "a: {b: 1}\nd: {e: {f: 1, g: [1]}}\n", []string{"d.e.f", "d.e.g"}},
		"what is gone":          {"a: {b: 1}\nd: {e: 2}\n", "a: {b: 1}\n", []string{"d.e"}},
		"a list":                {"a: [1, 2]\n", "a: [2, 1]\n", []string{"a"}},
		"a list of objects":     {"a: [{b: 1}]\n", "a: [{b: 2}]\n", []string{"a"}},
		"the same objects":      {"a: [{b: 1}]\n", "a: [{b: 1}]\n", nil},
		"nothing, and a string": {"a:\nb: 1\n", "a: ''\nb: 1\n", []string{"a"}},
		"a value for an object": {"a: {b: 1}\n", "a: 1\n", []string{"a", "a.b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := read(c.now).Differs(read(c.old)); !slices.Equal(got, c.want) {
				t.Errorf("got %v", got)
			}
		})
	}
	if !Under("agents.a.models", "agents") || !Under("log.level", "log.level") || Under("agents2.a", "agents") {
		t.Error("what stands under a path is wrong")
	}
}

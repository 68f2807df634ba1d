package configs

import (
	"reflect"
	"strings"
	"testing"
)

func TestAModelIsAnIDOrSaysMore(t *testing.T) {
	t.Parallel()
	read := func(text string) ([]Model, error) {
		n, err := parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var a Agent
		d := decoder{}
		d.decode(n, "a", reflect.ValueOf(&a).Elem())
		return a.Models, d.result()
	}
	got, err := read("models: [m, {id: n, context: 128_000, output: 4096}, 'o*']")
	if want := []Model{{ID: "m"}, {ID: "n", Context: 128_000, Output: 4096}, {ID: "o*"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, says := range map[string]string{
		"models: [{id: m, contxt: 1}]": "did you mean context?", "models: [[m]]": "must be an object", "models: m": "must be a list", "models: [{id: m, context: x}]": "not a whole number",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAListOfIDsAndMoreIsPrintedWhole(t *testing.T) {
	t.Parallel()
	n, err := parse("f", []byte("models: [m, {id: n, context: 5}]"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	printNode(&b, n, 0, false)
	if got := b.String(); got != "models:\n  - m\n  - id: n\n    context: 5\n" {
		t.Errorf("%s", got)
	}
}

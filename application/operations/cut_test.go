package operations

import (
	"slices"
	"testing"

	"agentapi/domain/fault"
	"agentapi/domain/page"
)

func TestAListIsCutAtIds(t *testing.T) {
	for name, c := range map[string]struct {
		q    page.Query
		want string
		more bool
	}{
		"the first":                   {page.Query{Limit: 2}, "ac", true},
		"all":                         {page.Query{}, "acegi", false},
		"just all":                    {page.Query{Limit: 5}, "acegi", false},
		"after":                       {page.Query{Limit: 2, After: "c"}, "eg", true},
		"after one that is gone":      {page.Query{Limit: 9, After: "d"}, "egi", false},
		"after the last":              {page.Query{Limit: 2, After: "i"}, "", false},
		"before":                      {page.Query{Limit: 2, Before: "g"}, "ce", true},
		"before one that is gone":     {page.Query{Limit: 9, Before: "f"}, "ace", false},
		"before the first":            {page.Query{Limit: 2, Before: "a"}, "", false},
		"before what comes after all": {page.Query{Limit: 2, Before: "z"}, "gi", true},
		"descending":                  {page.Query{Limit: 2, Desc: true}, "ig", true},
		"descending, after":           {page.Query{Limit: 2, Desc: true, After: "g"}, "ec", true},
		"descending, before":          {page.Query{Limit: 2, Desc: true, Before: "c"}, "ge", true},
	} {
		got, err := cut([]string{"i", "a", "g", "c", "e"}, c.q, func(s string) string { return s })
		var text string
		for _, s := range got.Items {
			text += s
		}
		if err != nil || text != c.want || got.More != c.more {
			t.Errorf("%s: got %q, %v, %v", name, text, got.More, err)
		}
	}
	if _, err := cut([]string{"a"}, page.Query{Limit: 101}, func(s string) string { return s }); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	// A walk meets everything once, whatever goes meanwhile.
	var met []string
	for all, q := []string{"a", "b", "c", "d", "e"}, (page.Query{Limit: 2}); ; {
		p, err := cut(slices.Clone(all), q, func(s string) string { return s })
		if err != nil {
			t.Fatal(err)
		}
		met = append(met, p.Items...)
		if !p.More {
			break
		}
		q.After = p.Items[1]
		all = slices.DeleteFunc(all, func(s string) bool { return s == q.After })
	}
	if !slices.Equal(met, []string{"a", "b", "c", "d", "e"}) {
		t.Errorf("met %v", met)
	}
}

package catalog_test

import (
	"testing"
	"time"

	"agentapi/application/catalog"
	"agentapi/domain/agent"
)

func TestARequestEndsWithTheCatalogThatItBeganWith(t *testing.T) {
	of := func(names ...agent.Name) *catalog.Service {
		t.Helper()
		p := catalog.Params{Now: time.Now}
		for _, n := range names {
			p.Entries = append(p.Entries, catalog.Entry{Name: n, Models: []agent.Model{{ID: "m"}}})
		}
		s, err := catalog.New(p)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, second := of("a", "b"), of("b")
	c := catalog.Begin(first)
	c.Now().Switch(map[agent.Name]agent.Verdict{"b": agent.Disabled})
	one, two := c.Enter(), c.Enter()
	idle := c.Replace(second)
	over := func() bool {
		select {
		case <-idle:
			return true
		default:
			return false
		}
	}
	if one.Service != first || two.Service != first || c.Now() != second || !second.Off("b") {
		t.Error("a request has another catalog than the one that held")
	}
	one.Leave()
	if over() {
		t.Error("a catalog is given up while a request goes by it")
	}
	three := c.Enter()
	two.Leave()
	if !over() {
		t.Error("a catalog that nobody goes by is not given up")
	}
	three.Leave()
	c.Enter().Leave()
	select {
	case <-c.Replace(first):
	default:
		t.Error("one that nobody went by is waited for")
	}
}

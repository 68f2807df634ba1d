package postgres

import (
	"slices"
	"strings"

	"agentapi/adapters/storage/bunstore"
)

// merge gives what waits in the order and the form in which it costs the
// database least: without savepoints, one organisation after the other, and rows
// for the same table in one statement. Jobs of one batch run at the same time, so
// that none may rely on another's having been before; where one fails, or fails
// for its neighbours' sake, all go out again as they were made.
func merge(queue []*statement) []*statement {
	var (
		out, last []*statement
		orgs      []*tenantBatch
		org       *tenantBatch
		at        = map[string]*tenantBatch{}
		jobs      bool
	)
	for _, s := range queue {
		switch {
		case s.text == savepoint:
			jobs = true
			org = nil
		case s.text == forget, strings.HasPrefix(s.text, bounding):
		case !jobs:
			out = append(out, s)
		case s.job == none:
			last = append(last, s)
		case strings.HasPrefix(s.text, naming):
			if org = at[s.text]; org == nil {
				org = &tenantBatch{name: s, at: map[string]*together{}}
				at[s.text] = org
				orgs = append(orgs, org)
			}
		case org == nil: // it is nobody's; nothing is known of it
			return nil
		default:
			org.add(s)
		}
	}
	if !jobs {
		return nil
	}
	// All servers come to organisations in one order, and so never wait for each other.
	slices.SortFunc(orgs, func(a, b *tenantBatch) int { return strings.Compare(a.name.text, b.name.text) })
	for _, o := range orgs {
		if len(o.opens) > 0 {
			out = append(append(out, o.name), o.opens...)
		}
	}
	for _, o := range orgs {
		out = o.append(out)
	}
	return append(out, last...)
}

// tenantBatch is what a batch writes of one organisation.
type tenantBatch struct {
	name   *statement // names it to the transaction
	adds   []*adding  // rows, by table
	heads  []string   // of what else goes together, in order
	at     map[string]*together
	others []*statement
	// opens are those that make budgets: they wait for whoever has booked, so before
	// anybody can wait for what this transaction holds.
	opens []*statement
	// claims are those that claim keys: in one order on all servers, as two may claim the
	// same ones.
	claims []*statement
}

// together is statements that go as one.
type together struct {
	strings.Builder
	tail string
}

func (b *tenantBatch) add(s *statement) {
	if s.rows.Rows != nil {
		i := slices.IndexFunc(b.adds, func(a *adding) bool { return a.into == s.rows.Table })
		if i < 0 {
			i = len(b.adds)
			b.adds = append(b.adds, &adding{into: s.rows.Table})
		}
		b.adds[i].rows(s.rows)
		return
	}
	head, rows, tail, ok := bunstore.Rows(s.text)
	switch {
	case strings.HasPrefix(s.text, bunstore.Opens):
		b.opens = append(b.opens, s)
		return
	case strings.HasPrefix(s.text, guarded+bunstore.IntoKeys):
		b.claims = append(b.claims, s)
		return
	case !ok:
		b.others = append(b.others, s)
		return
	}
	key := head + tail
	text := b.at[key]
	if text == nil {
		text = &together{tail: tail}
		b.at[key] = text
		b.heads = append(b.heads, key)
		text.WriteString(head)
	} else {
		text.WriteString(", ")
	}
	text.WriteString(rows)
}

func (b *tenantBatch) append(out []*statement) []*statement {
	out = append(out, b.name)
	these := func(reserves bool) {
		for _, key := range b.heads {
			if strings.HasPrefix(key, bunstore.Reserves) == reserves {
				text := b.at[key]
				text.WriteString(text.tail)
				out = append(out, &statement{text: text.String(), job: none})
			}
		}
	}
	others := b.adds
	if i := slices.IndexFunc(b.adds, func(a *adding) bool { return a.into.Name == bunstore.Sessions }); i >= 0 { // what others refer to
		out = append(out, b.adds[i].statement(none))
		others = slices.Delete(b.adds, i, i+1)
	}
	out = append(out, b.others...)
	slices.SortFunc(b.claims, func(a, b *statement) int { return strings.Compare(a.text, b.text) })
	out = append(out, b.claims...)
	these(false)
	for _, a := range others {
		out = append(out, a.statement(none))
	}
	these(true) // after all that ends has been booked, of which a part may have been taken back already
	return out
}

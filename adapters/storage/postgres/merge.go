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
				org = &tenantBatch{name: s, at: map[string]*strings.Builder{}}
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
	heads  []string   // of other inserts, in order
	at     map[string]*strings.Builder
	others []*statement
	// opens are those that make budgets: they wait for whoever has booked, so before
	// anybody can wait for what this transaction holds.
	opens []*statement
	// claims are those that claim keys: in one order on all servers, as two may claim the
	// same ones.
	claims []*statement
	// reserves are those that ask whether there is room in a budget: after all that ends
	// has been booked, of which a part may have been taken back already.
	reserves []*statement
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
	case strings.HasPrefix(s.text, bunstore.Reserves):
		b.reserves = append(b.reserves, s)
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
		text = &strings.Builder{}
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
	others := b.adds
	if i := slices.IndexFunc(b.adds, func(a *adding) bool { return a.into.Name == bunstore.Sessions }); i >= 0 { // what others refer to
		out = append(out, b.adds[i].statement(none))
		others = slices.Delete(b.adds, i, i+1)
	}
	out = append(out, b.others...)
	slices.SortFunc(b.claims, func(a, b *statement) int { return strings.Compare(a.text, b.text) })
	out = append(out, b.claims...)
	for _, key := range b.heads {
		text := b.at[key].String()
		if strings.HasSuffix(key, bunstore.Unless) {
			text += bunstore.Unless
		}
		out = append(out, &statement{text: text, job: none})
	}
	for _, a := range others {
		out = append(out, a.statement(none))
	}
	return append(out, b.reserves...)
}

package bunstore

import (
	"maps"
	"slices"

	"agentapi/domain/audit"
)

// Gathered are the audit entries of a batch's jobs. They are sealed together, right
// before the batch is committed, so that the log's head is read once for all.
type Gathered struct{ jobs map[int][]audit.Entry }

// Job begins the job n, or begins it again, and gives what takes its entries.
func (g *Gathered) Job(n int) func(...audit.Entry) {
	g.Drop(n)
	return func(entries ...audit.Entry) {
		if g.jobs == nil {
			g.jobs = make(map[int][]audit.Entry)
		}
		g.jobs[n] = append(g.jobs[n], entries...)
	}
}

// Drop forgets the entries of a job of which nothing shall be left.
func (g *Gathered) Drop(n int) { delete(g.jobs, n) }

// All gives the entries in the order of their jobs.
func (g *Gathered) All() (out []audit.Entry) {
	for _, n := range slices.Sorted(maps.Keys(g.jobs)) {
		out = append(out, g.jobs[n]...)
	}
	return out
}

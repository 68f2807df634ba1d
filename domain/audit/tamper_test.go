package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"agentapi/domain/tenancy"
	"agentapi/test/kit"
)

var (
	key      = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	otherKey = ed25519.NewKeyFromSeed([]byte("another one's, of 32 bytes......"))
	start    = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
)

func org(n int) (o tenancy.OrgID) {
	if n > 0 {
		o[6], o[8], o[15] = 0x70, 0x80, byte(n)
	}
	return o
}

func entry(t testing.TB, n int, what string) Entry {
	t.Helper()
	var seed [10]byte
	seed[8], seed[9] = byte(n>>8), byte(n)
	e, err := New(Fields{
		ID: NewID(start.Add(time.Duration(n)*time.Millisecond), seed), Org: org(n % 4), Actor: fmt.Sprintf("subject_%d", n%7), Action: Actions()[n%len(Actions())],
		Target: what, Outcome: OK, Request: fmt.Sprintf("req_%032x", n), Instance: "instance", At: start.Add(time.Duration(n) * time.Millisecond),
		Details: map[string]string{"model": "demo/écho \"\\ <>&", "tokens": fmt.Sprint(n)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// a log and what stands outside of it.
type log struct {
	entries     []Sealed
	checkpoints []Checkpoint
}

func sealed(t testing.TB, n, every int) *log {
	l, s := &log{}, Sealer{}
	var previous [32]byte
	for i := range n {
		l.entries = append(l.entries, s.Seal(entry(t, i, "thing")))
		if (i+1)%every == 0 || i+1 == n {
			c := Sign(key, s.Head, start.Add(time.Duration(i)*time.Second), previous)
			l.checkpoints, previous = append(l.checkpoints, c), c.Hash()
		}
	}
	return l
}

func (l *log) copy() *log {
	c := &log{slices.Clone(l.entries), slices.Clone(l.checkpoints)}
	for i := range c.entries {
		c.entries[i].Canon = slices.Clone(c.entries[i].Canon)
	}
	return c
}

func (l *log) verify() Verdict {
	var v Verifier
	v.Against(l.checkpoints, []Key{KeyOf(key)}, true)
	for i := range l.entries {
		v.Add(&l.entries[i])
	}
	return v.Verdict()
}

// rehash seals everything from i on anew, as it is now.
func (l *log) rehash(i int) {
	for ; i < len(l.entries); i++ {
		e := &l.entries[i]
		e.Seq, e.Prev = uint64(i+1), [32]byte{}
		if i > 0 {
			e.Prev = l.entries[i-1].Hash
		}
		e.Hash = Hash(e.Chain, e.Seq, e.Prev, e.Canon)
	}
}

// reseal makes entries from i on that are whole in themselves.
func (l *log) reseal(t testing.TB, i int, what string) {
	s := Sealer{Orgs: map[tenancy.OrgID]Place{}}
	for _, e := range l.entries[:i] {
		s.Head = Head{Seq: e.Seq, Hash: e.Hash, First: 1}
		if !e.Columns.Org.IsZero() {
			s.Orgs[e.Columns.Org] = Place{Seq: e.Columns.OrgSeq, Prev: e.Hash}
		}
	}
	for ; i < len(l.entries); i++ {
		l.entries[i] = s.Seal(entry(t, i, what))
	}
}

func flip(r *rand.Rand, b []byte) {
	b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
}

// operators are what somebody does to a log at the entry i, and how the verifier
// may call it. bad gives where it must find it, at the latest.
var operators = map[string]struct {
	do    func(t *testing.T, r *rand.Rand, l *log, i int)
	kinds []Tampering
	exact bool // the finding is of the entry itself
}{
	"edits what was said":   {func(_ *testing.T, r *rand.Rand, l *log, i int) { flip(r, l.entries[i].Canon) }, []Tampering{Edited}, true},
	"edits a hash":          {func(_ *testing.T, r *rand.Rand, l *log, i int) { flip(r, l.entries[i].Hash[:]) }, []Tampering{Edited}, true},
	"edits what it follows": {func(_ *testing.T, r *rand.Rand, l *log, i int) { flip(r, l.entries[i].Prev[:]) }, []Tampering{Edited, Reordered}, true},
	"edits and hashes it anew": {func(_ *testing.T, _ *rand.Rand, l *log, i int) {
		e := &l.entries[i]
		e.Canon = append(e.Canon[:len(e.Canon)-2], `2}`...)
		e.Hash = Hash(e.Chain, e.Seq, e.Prev, e.Canon)
	}, []Tampering{Edited, Rewritten}, false},
	"deletes one": {func(_ *testing.T, _ *rand.Rand, l *log, i int) { l.entries = slices.Delete(l.entries, i, i+1) }, []Tampering{Deleted, Truncated}, true},
	"deletes one and closes the gap": {func(_ *testing.T, _ *rand.Rand, l *log, i int) {
		l.entries = slices.Delete(l.entries, i, i+1)
		l.rehash(i)
	}, []Tampering{Edited, Deleted, Rewritten, Truncated}, false},
	"cuts the tail": {func(_ *testing.T, _ *rand.Rand, l *log, i int) { l.entries = l.entries[:i] }, []Tampering{Truncated}, true},
	"swaps two": {func(_ *testing.T, r *rand.Rand, l *log, i int) {
		j := i + 1 + r.IntN(max(1, len(l.entries)-i-1))
		if j >= len(l.entries) {
			i, j = i-1, i
		}
		l.entries[i], l.entries[j] = l.entries[j], l.entries[i]
	}, []Tampering{Reordered, Deleted}, false},
	"swaps two and their numbers": {func(_ *testing.T, r *rand.Rand, l *log, i int) {
		if i == len(l.entries)-1 {
			i--
		}
		j := i + 1 + r.IntN(len(l.entries)-i-1)
		a, b := &l.entries[i], &l.entries[j]
		*a, *b = *b, *a
		a.Seq, b.Seq = b.Seq, a.Seq
	}, []Tampering{Reordered}, false},
	"hashes all anew": {func(t *testing.T, _ *rand.Rand, l *log, i int) {
		l.entries[i] = Sealed{} // what is there is made new
		l.reseal(t, i, "another thing")
	}, []Tampering{Rewritten}, false},
	"goes on from a backup": {func(t *testing.T, r *rand.Rand, l *log, i int) {
		l.entries = l.entries[:min(len(l.entries), i+1+r.IntN(20))]
		l.reseal(t, i, "what came after the backup")
	}, []Tampering{Rewritten, Truncated}, false},
	"has one twice": {func(_ *testing.T, _ *rand.Rand, l *log, i int) {
		l.entries = slices.Insert(l.entries, i, l.entries[i])
	}, []Tampering{Duplicated}, true},
	"puts one in": {func(t *testing.T, _ *rand.Rand, l *log, i int) {
		s := Sealer{Head: Head{Seq: uint64(i)}}
		if i > 0 {
			s.Head.Hash = l.entries[i-1].Hash
		}
		l.entries = slices.Insert(l.entries, i, s.Seal(entry(t, 9999, "put in")))
		l.rehash(i + 1)
	}, []Tampering{Edited, Deleted, Rewritten}, false},
	"changes a column": {func(_ *testing.T, r *rand.Rand, l *log, i int) {
		c := &l.entries[i].Columns
		switch r.IntN(5) {
		case 0:
			c.Actor = "subject_other"
		case 1:
			c.Action = "none"
		case 2:
			c.Org = org(9)
		case 3:
			c.AtMicros++
		case 4:
			c.Outcome = Failed
		}
	}, []Tampering{Miscopied}, true},
	"swaps the columns of two": {func(_ *testing.T, _ *rand.Rand, l *log, i int) {
		if i == 0 {
			i++
		}
		l.entries[i].Columns, l.entries[i-1].Columns = l.entries[i-1].Columns, l.entries[i].Columns
	}, []Tampering{Miscopied}, false},
	"edits a checkpoint": {func(_ *testing.T, r *rand.Rand, l *log, i int) {
		c := &l.checkpoints[r.IntN(len(l.checkpoints))]
		c.Root = sha256.Sum256(c.Root[:])
		c.Note = c.text() + c.Note[len(c.text()):]
	}, []Tampering{Forged}, false},
	"signs a chain of its own with the name of the key": {func(t *testing.T, _ *rand.Rand, l *log, i int) {
		l.reseal(t, i, "another thing")
		last := &l.checkpoints[len(l.checkpoints)-1]
		forged := Sign(otherKey, Head{Seq: last.Size, Hash: l.entries[len(l.entries)-1].Hash}, last.At, last.Previous)
		forged.Origin = last.Origin
		forged.Note = forged.text() + last.Note[len(last.text()):]
		*last = forged
	}, []Tampering{Forged, Rewritten}, false},
}

func TestEveryTamperingIsFoundAndItsFirstBadEntryNamed(t *testing.T) {
	const entries, every = 120, 16
	whole := sealed(t, entries, every)
	if v := whole.verify(); v.Finding != nil || v.Entries != entries || v.Checkpoints != len(whole.checkpoints) {
		t.Fatalf("a whole log: %+v, %+v", v, v.Finding)
	}
	rounds := kit.Size(1_700, 3_400, 17_000) / len(operators)
	for name, o := range operators {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(len(name))))
			for range rounds {
				l, i := whole.copy(), r.IntN(entries)
				o.do(t, r, l, i)
				f := l.verify().Finding
				switch {
				case f == nil:
					t.Fatalf("at %d: not found", i+1)
				case !slices.Contains(o.kinds, f.Kind):
					t.Fatalf("at %d: called %s at %d: %s", i+1, f.Kind, f.Seq, f.What)
				case f.Seq == 0 || f.Seq > f.Through || f.Through > entries+1:
					t.Fatalf("at %d: found at %d to %d", i+1, f.Seq, f.Through)
				case o.exact && f.Seq != uint64(i+1):
					t.Fatalf("at %d: found at %d: %s", i+1, f.Seq, f.What)
				case f.Kind == Rewritten && (f.Seq > uint64(i+1) || f.Through < uint64(i+1) && f.Through < entries):
					t.Fatalf("at %d: said to be from %d to %d", i+1, f.Seq, f.Through)
				}
			}
			t.Logf("%d of %d found", rounds, rounds)
		})
	}
}

// An organisation that sees its own entries only still sees what is missing.
func TestAnOrganisationVerifiesItsOwnEntriesAlone(t *testing.T) {
	whole := sealed(t, 120, 16)
	var own []Sealed
	for _, e := range whole.entries {
		if e.Columns.Org == org(2) {
			own = append(own, e)
		}
	}
	verify := func(all []Sealed) *Finding {
		v := Verifier{Whose: org(2)}
		v.Against(whole.checkpoints, []Key{KeyOf(key)}, true)
		for i := range all {
			v.Add(&all[i])
		}
		return v.Verdict().Finding
	}
	if f := verify(own); f != nil {
		t.Fatalf("%+v", f)
	}
	for i := range own[:len(own)-1] {
		if f := verify(slices.Delete(slices.Clone(own), i, i+1)); f == nil || f.Kind != Deleted {
			t.Errorf("without the entry %d: %+v", i, f)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	l := sealed(b, 10_000, 1000)
	b.ResetTimer()
	for b.Loop() {
		if v := l.verify(); v.Finding != nil {
			b.Fatalf("%+v", v.Finding)
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkSeal(b *testing.B) {
	var s Sealer
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		s.Seal(entry(b, n, "thing"))
	}
}

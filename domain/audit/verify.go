package audit

import (
	"cmp"
	"slices"

	"agentapi/domain/tenancy"
)

// Tampering is a class of what can have been done to a log.
type Tampering string

// The classes.
const (
	Edited     Tampering = "edited"     // an entry is not what was hashed, or does not follow from the one before
	Deleted    Tampering = "deleted"    // an entry is missing
	Duplicated Tampering = "duplicated" // an entry is there twice
	Reordered  Tampering = "reordered"  // entries have changed places
	Miscopied  Tampering = "columns"    // what is asked for differs from what was hashed
	Truncated  Tampering = "truncated"  // the chain ends before a checkpoint
	Rewritten  Tampering = "rewritten"  // the chain is another one than at a checkpoint: hashed anew, or forked
	Forged     Tampering = "forged"     // a checkpoint is not signed by the key that it names, or does not follow
)

// Finding is the first place where a log is not what it was.
type Finding struct {
	Kind Tampering
	Seq  uint64 // the first bad entry
	// Through is the last that it may be where only checkpoints tell; else Seq.
	Through uint64
	What    string
}

// Verdict is what a verification has found.
type Verdict struct {
	Entries     uint64 // that were looked at
	First, Last uint64 // sequence numbers
	Hash        [32]byte
	Checkpoints int      // that the chain was held against
	Unknown     int      // whose key is not known, so that they show nothing
	Finding     *Finding // nil: it is whole
}

// Verifier looks at a chain entry by entry. It must be given all from its
// beginning on, in the order of the log; Verdict ends it.
type Verifier struct {
	// After is what is known of the chain already: entries go on behind it. Its zero
	// value is the beginning.
	After Head
	// Anywhere takes the first entry's place and predecessor as given, for a log
	// of which the beginning is not kept.
	Anywhere bool
	// Retired are what the log says was taken from its beginning, as far as it is to be
	// believed: it may begin behind one of them.
	Retired []Retirement
	// Whose is the organisation whose entries alone are given; zero: all. Only the
	// organisation's own chain is followed then.
	Whose tenancy.OrgID

	checkpoints []mark
	sorted      bool
	noted       map[[32]byte]bool
	stored      Checkpoint // the last of the list that is whole
	next        int        // of the checkpoints
	sure        uint64     // up to where a checkpoint says that it is whole
	verdict     Verdict
	orgs        map[tenancy.OrgID]Place
	known       map[tenancy.OrgID]bool
}

// mark is what a checkpoint says that the chain was.
type mark struct {
	size uint64
	root [32]byte
}

// Against adds checkpoints that the chain is held against, where one of the keys
// has signed them. whole says that they are the next part of a list that is whole,
// so that each must follow from the one before. All must come before the entries.
func (v *Verifier) Against(checkpoints []Checkpoint, keys []Key, whole bool) {
	for i := range checkpoints {
		c := &checkpoints[i]
		hash := c.Hash()
		last := v.stored
		if whole {
			v.stored = *c
		}
		if v.noted[hash] { // kept in two places
			continue
		}
		if v.noted == nil {
			v.noted = make(map[[32]byte]bool)
		}
		v.noted[hash] = true
		good, known := c.Signed(keys)
		switch {
		case !known:
			v.verdict.Unknown++
		case !good:
			v.find(Forged, c.Size, c.Size, "a checkpoint's signature is not of its key")
		default:
			v.checkpoints, v.sorted = append(v.checkpoints, mark{c.Size, c.Root}), false
		}
		if whole && last.Note != "" && (c.Previous != last.Hash() || c.Size < last.Size) {
			v.find(Forged, c.Size, c.Size, "a checkpoint does not follow from the one before")
		}
	}
}

// marks puts the checkpoints into their order.
func (v *Verifier) marks() []mark {
	if !v.sorted {
		slices.SortStableFunc(v.checkpoints, func(a, b mark) int { return cmp.Compare(a.size, b.size) })
		v.sorted = true
	}
	return v.checkpoints
}

func (v *Verifier) find(kind Tampering, seq, through uint64, what string) {
	if v.verdict.Finding == nil {
		v.verdict.Finding = &Finding{Kind: kind, Seq: seq, Through: through, What: what}
	}
}

// Add looks at the next entry. After a finding it only looks whether it was right
// about what is missing.
func (v *Verifier) Add(s *Sealed) {
	d := &v.verdict
	if d.Finding != nil {
		if d.Finding.Kind == Deleted && d.Finding.Seq == s.Seq {
			d.Finding.Kind, d.Finding.What = Reordered, "an entry stands after later ones"
		}
		return
	}
	if v.orgs == nil {
		v.orgs, v.known = make(map[tenancy.OrgID]Place), make(map[tenancy.OrgID]bool)
		if v.Anywhere || !v.Whose.IsZero() {
			v.After = Head{Seq: s.Seq - 1, Hash: s.Prev}
		}
		for _, r := range v.Retired {
			if v.After.Seq == 0 && r.Last == s.Seq-1 && r.Hash == s.Prev {
				v.After = Head{Seq: r.Last, Hash: r.Hash}
			}
		}
		d.First, d.Last, d.Hash, v.sure = v.After.Seq+1, v.After.Seq, v.After.Hash, v.After.Seq
		for v.next < len(v.marks()) && v.checkpoints[v.next].size < v.After.Seq {
			v.next++ // of what is not given
		}
		v.meet()
	}
	if d.Entries++; !v.Whose.IsZero() {
		v.alone(s)
	} else {
		v.link(s)
	}
	if d.Finding != nil {
		return
	}
	d.Last, d.Hash = s.Seq, s.Hash
	v.meet()
}

// link holds an entry against the one before.
func (v *Verifier) link(s *Sealed) {
	last := v.verdict.Last
	switch want := last + 1; {
	case s.Seq > want:
		v.find(Deleted, want, s.Seq-1, "entries are missing")
	case s.Seq < want:
		v.find(Duplicated, s.Seq, s.Seq, "an entry is there again")
	case Hash(Chain, s.Seq, s.Prev, s.Canon) != s.Hash && s.Prev != v.verdict.Hash:
		v.find(Reordered, s.Seq, s.Seq, "an entry stands where another one was")
	case s.Chain != Chain || s.Prev != v.verdict.Hash:
		v.find(Edited, s.Seq, s.Seq, "an entry does not follow from the one before")
	default:
		v.inside(s)
	}
}

// alone looks at an organisation's own entry, whose predecessors in the chain are
// not given.
func (v *Verifier) alone(s *Sealed) {
	if s.Seq <= v.verdict.Last && v.verdict.Entries > 1 {
		v.find(Duplicated, s.Seq, s.Seq, "an entry is there again, or out of its order")
		return
	}
	v.inside(s)
}

// inside looks at what the entry itself says.
func (v *Verifier) inside(s *Sealed) {
	if s.Chain != Chain || Hash(Chain, s.Seq, s.Prev, s.Canon) != s.Hash {
		v.find(Edited, s.Seq, s.Seq, "an entry is not what was hashed")
		return
	}
	var said Said
	err := (&reader{rest: string(s.Canon)}).entry(&said)
	switch {
	case err != nil:
		v.find(Edited, s.Seq, s.Seq, err.Error())
		return
	case said.Columns != s.Columns:
		v.find(Miscopied, s.Seq, s.Seq, "an entry's columns differ from what was hashed")
		return
	}
	if said.Org.IsZero() {
		return
	}
	place := v.orgs[said.Org]
	// What came before may not be given.
	partial := !v.known[said.Org] && (v.Anywhere || v.Whose.IsZero() && v.After.Seq > 0)
	if !partial && (said.Place.Seq != place.Seq+1 || said.Place.Prev != place.Prev) {
		kind := Edited
		if said.Place.Seq > place.Seq+1 {
			kind = Deleted
		}
		v.find(kind, s.Seq, s.Seq, "an entry does not follow from its organisation's one before")
		return
	}
	v.orgs[said.Org], v.known[said.Org] = Place{Seq: said.Place.Seq, Prev: s.Hash}, true
}

// meet holds the chain against the checkpoints of the entry that it has come to.
func (v *Verifier) meet() {
	d := &v.verdict
	for d.Finding == nil && v.next < len(v.marks()) && v.checkpoints[v.next].size <= d.Last {
		c := &v.checkpoints[v.next]
		if v.next++; c.size < d.Last { // of an entry that is another organisation's
			continue
		}
		d.Checkpoints++
		if c.root != d.Hash {
			v.find(Rewritten, min(v.sure+1, c.size), c.size, "the chain is another one than when a checkpoint was signed")
			return
		}
		v.sure = c.size
	}
}

// Mismatch says that what the entries came in does not hold them as it says.
func (v *Verifier) Mismatch(what string) { v.find(Edited, v.verdict.First, v.verdict.Last, what) }

// Verdict ends the verification: the chain must reach all checkpoints.
func (v *Verifier) Verdict() Verdict {
	d := &v.verdict
	if v.orgs == nil {
		d.Last, d.Hash = v.After.Seq, v.After.Hash
		v.meet()
	}
	if n := len(v.checkpoints); n > 0 && v.Whose.IsZero() {
		if c := v.marks()[n-1]; c.size > d.Last {
			v.find(Truncated, d.Last+1, c.size, "the chain ends before a checkpoint")
		}
	}
	if d.Finding != nil && d.Finding.Seq == 0 {
		d.Finding.Seq = 1
	}
	return *d
}

package memory

import (
	"bytes"
	"slices"

	"agentapi/domain/session"
)

// table holds the sessions and the ways to them.
type table struct {
	byID    map[session.ID]*record
	byKey   map[keyOf]*record
	byOwner map[owner][]session.ID // ascending
	order   queue[session.ID]      // by creation here, for eviction; may name what is gone
	bytes   int                    // what all turns hold, roughly
}

// record is a session with its turns.
type record struct {
	bytes   int
	session session.Session
	turns   []session.Turn
}

// sizeOf is roughly what a turn holds in memory.
func sizeOf(t *session.Turn) int {
	const own = 1024 // the turn itself and its share of the indexes
	n := own + len(t.Message.Refusal)
	for i := range t.Message.Parts {
		n += len(t.Message.Parts[i].Text) + len(t.Message.Parts[i].JSON)
	}
	for i := range t.Message.ToolCalls {
		n += len(t.Message.ToolCalls[i].Arguments)
	}
	return n
}

// sizeOfMetadata is what a session's own pairs hold in memory.
func sizeOfMetadata(s *session.Session) (n int) {
	for k, v := range s.Metadata {
		n += len(k) + len(v)
	}
	return n
}

type keyOf struct {
	owner
	key session.Key
}

func (r *record) owner() owner { return owner{r.session.Org, r.session.User} }
func (r *record) keyOf() keyOf { return keyOf{r.owner(), r.session.Key} }

func compare(a, b session.ID) int { return bytes.Compare(a[:], b[:]) }

func (t *table) add(r *record) {
	t.bytes += r.bytes
	t.byID[r.session.ID] = r
	if !r.session.Key.IsZero() {
		t.byKey[r.keyOf()] = r
	}
	own := t.byOwner[r.owner()]
	at, _ := slices.BinarySearchFunc(own, r.session.ID, compare)
	t.byOwner[r.owner()] = slices.Insert(own, at, r.session.ID)
}

func (t *table) remove(r *record) {
	t.bytes -= r.bytes
	delete(t.byID, r.session.ID)
	if !r.session.Key.IsZero() {
		delete(t.byKey, r.keyOf())
	}
	own := t.byOwner[r.owner()]
	at, _ := slices.BinarySearchFunc(own, r.session.ID, compare)
	if at < len(own)/2 { // eviction takes one of the first: the few before it move
		copy(own[1:], own[:at])
		own = own[1:]
	} else {
		own = slices.Delete(own, at, at+1)
	}
	if len(own) == 0 {
		delete(t.byOwner, r.owner())
		return
	}
	t.byOwner[r.owner()] = own
}

// create adds a new record, which is the youngest.
func (t *table) create(r *record) {
	t.add(r)
	*t.order.push() = r.session.ID
}

// uncreate takes the youngest record out again.
func (t *table) uncreate() {
	t.remove(t.byID[*t.order.at(t.order.size - 1)])
	t.order.pop()
}

// evict forgets the oldest sessions beyond the bounds, but not the last.
func (t *table) evict(max, maxBytes int) {
	for (len(t.byID) > max || t.bytes > maxBytes) && len(t.byID) > 1 {
		if r := t.byID[*t.order.at(0)]; r != nil {
			t.remove(r)
		}
		t.order.drop()
	}
	if t.order.size > 2*max { // the ids of deleted sessions
		for range t.order.size {
			id := *t.order.at(0)
			if t.order.drop(); t.byID[id] != nil {
				*t.order.push() = id
			}
		}
	}
}

// rewrite replaces a record's session and keeps the index of keys.
func (t *table) rewrite(r *record, s session.Session) {
	if r.session.Key != s.Key {
		if !r.session.Key.IsZero() {
			delete(t.byKey, r.keyOf())
		}
		if !s.Key.IsZero() {
			t.byKey[keyOf{r.owner(), s.Key}] = r
		}
	}
	size := sizeOfMetadata(&s) - sizeOfMetadata(&r.session)
	r.bytes += size
	t.bytes += size
	r.session = s
}

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
	byOwner map[owner][]*record // by id, ascending
	order   []session.ID        // by creation here, for eviction; may name what is gone
	bytes   int                 // what all turns hold, roughly
}

type record struct {
	session session.Session
	turns   []session.Turn
	bytes   int
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

func byID(r *record, id session.ID) int { return bytes.Compare(r.session.ID[:], id[:]) }

func (t *table) add(r *record) {
	t.bytes += r.bytes
	t.byID[r.session.ID] = r
	if !r.session.Key.IsZero() {
		t.byKey[r.keyOf()] = r
	}
	list := t.byOwner[r.owner()]
	if n := len(list); n == 0 || byID(list[n-1], r.session.ID) < 0 {
		t.byOwner[r.owner()] = append(list, r) // ids come in order, nearly always
		return
	}
	at, _ := slices.BinarySearchFunc(list, r.session.ID, byID)
	t.byOwner[r.owner()] = slices.Insert(list, at, r)
}

func (t *table) remove(r *record) {
	t.bytes -= r.bytes
	delete(t.byID, r.session.ID)
	if !r.session.Key.IsZero() {
		delete(t.byKey, r.keyOf())
	}
	list := t.byOwner[r.owner()]
	at, found := 0, len(list) > 0 && list[0] == r // as where the oldest goes
	if !found {
		at, found = slices.BinarySearchFunc(list, r.session.ID, byID)
	}
	if found {
		if at < len(list)/2 { // eviction takes one of the first: the few before it move
			copy(list[1:], list[:at])
			list[0], list = nil, list[1:]
		} else {
			list = slices.Delete(list, at, at+1)
		}
	}
	if len(list) == 0 {
		delete(t.byOwner, r.owner())
		return
	}
	t.byOwner[r.owner()] = list
}

// evict forgets the oldest sessions beyond the bounds, but not the last.
func (t *table) evict(max, maxBytes int) {
	for (len(t.byID) > max || t.bytes > maxBytes) && len(t.byID) > 1 {
		id := t.order[0]
		t.order = t.order[1:]
		if r := t.byID[id]; r != nil {
			t.remove(r)
		}
	}
	if len(t.order) > 2*max { // the ids of deleted sessions
		t.order = slices.DeleteFunc(slices.Clone(t.order), func(id session.ID) bool { return t.byID[id] == nil })
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

package session

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"agentapi/domain/fault"
)

func text(s string) *string { return &s }

func TestAnEditThatBreaksABoundChangesNothing(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	full := map[string]*string{}
	for i := range MaxMetadata {
		full[fmt.Sprint("k", i)] = text("v")
	}
	for name, e := range map[string]Edit{
		"no title":          {Title: text("")},
		"a long title":      {Title: text(strings.Repeat("ü", MaxTitle+1))},
		"a control":         {Title: text("a\nb")},
		"no UTF-8":          {Title: text("a\xff")},
		"a long key":        {Title: text("new"), Metadata: map[string]*string{strings.Repeat("k", MaxMetadataKey+1): text("v")}},
		"a long value":      {Title: text("new"), Metadata: map[string]*string{"k": text(strings.Repeat("v", MaxMetadataValue+1))}},
		"one pair too many": {Title: text("new"), Metadata: full},
	} {
		s := &Session{Title: "old", Metadata: map[string]string{"kept": "v"}, Archived: true}
		if err := s.Apply(e, at); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if s.Title != "old" || !reflect.DeepEqual(s.Metadata, map[string]string{"kept": "v"}) || !s.Updated.IsZero() {
			t.Errorf("%s: it became %+v", name, s)
		}
	}
	s := &Session{Metadata: map[string]string{"kept": "v"}}
	before := s.Metadata
	if err := s.Apply(Edit{Title: text(strings.Repeat("ü", MaxTitle)), Metadata: full, Forget: true}, at); err != nil || len(s.Metadata) != MaxMetadata {
		t.Errorf("all that may be: %v, %d pairs", err, len(s.Metadata))
	}
	if len(before) != 1 {
		t.Error("the old pairs were changed")
	}
	if err := s.Apply(Edit{Metadata: map[string]*string{"k0": nil, "none": nil}}, at); err != nil || len(s.Metadata) != MaxMetadata-1 {
		t.Errorf("one less: %v, %d pairs", err, len(s.Metadata))
	}
}

func TestAKeyOfAClientsOwn(t *testing.T) {
	for key, want := range map[string]bool{
		"a": true, strings.Repeat("ü", MaxKey): true, strings.Repeat("ü", MaxKey+1): false, "": false, "sess_x": false, "a\nb": false, "a\xff": false,
	} {
		if ValidKey(key) != want {
			t.Errorf("%q: %v", key, !want)
		}
	}
}

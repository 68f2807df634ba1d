package completion_test

import (
	"testing"
	"testing/synctest"
)

// Requests of one moment are told apart by what is drawn for them alone, which is drawn
// ahead for several.
func TestNoTwoRequestsOfOneMomentHaveTheSameIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, says(text("hello"), stopped, finished))
		seen := make(map[string]bool)
		for n := range 200 {
			w, err := h.Complete(t.Context(), h.ask("hi"))
			if err != nil {
				t.Fatal(err)
			}
			id, of := w.Head.ID, w.Session.String()
			if seen[id] || seen[of] || id[len(id)-16:] == of[len(of)-16:] {
				t.Fatalf("the request %d is %s in %s, as another", n, id, of)
			}
			seen[id], seen[of] = true, true
		}
	})
}

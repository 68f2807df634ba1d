package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/ports"
	server "agentapi/test/postgres"
)

// words is a row of one text.
type words string

func (w words) Values(to bunstore.Columns) { to.Text(string(w)) }

func TestABatchIsMergedByOrganisationAndTable(t *testing.T) {
	begun, said := bunstore.Table{Name: bunstore.Sessions, Columns: "x"}, bunstore.Table{Name: "said", Columns: "x", Unless: true}
	queue := []*statement{
		{text: "BEGIN", job: none}, {text: savepoint}, {text: naming + "a'"},
		{text: `INSERT INTO "audit_subjects" ("x") VALUES ('it''s) VALUES (')`}, {rows: bunstore.Insert{Table: said, Rows: []bunstore.Row{words("a")}}},
		{text: `WITH one AS (UPDATE a) SELECT 1/count(*) FROM one`},
		{rows: bunstore.Insert{Table: begun, Rows: []bunstore.Row{words("b")}}}, {text: forget},
		{text: savepoint, job: 1}, {text: naming + "b'", job: 1}, {text: `INSERT INTO "usage" ("x") VALUES (2) ON CONFLICT DO NOTHING`, job: 1}, {text: forget, job: 1},
		{text: savepoint, job: 2}, {text: naming + "a'", job: 2},
		{text: `INSERT INTO "audit_subjects" ("x") VALUES (4), (5)`, job: 2}, {rows: bunstore.Insert{Table: begun, Rows: []bunstore.Row{words("c")}}, job: 2}, {text: forget, job: 2},
		{text: savepoint, job: 3}, {text: naming + "a'", job: 3}, {text: bunstore.Reserves + "'a', ARRAY[(1, NULL)]::budget_reservation[])", job: 3}, {text: forget, job: 3},
		{text: savepoint, job: 4}, {text: naming + "a'", job: 4},
		{text: bunstore.Releases + "'a' AND id IN ('6')", job: 4}, {text: bunstore.Reserves + "'a', ARRAY[(2, 'k')]::budget_reservation[])", job: 4}, {text: forget, job: 4},
		{text: savepoint, job: 5}, {text: naming + "a'", job: 5}, {text: bunstore.Releases + "'a' AND id IN ('7')", job: 5}, {text: forget, job: 5},
		{text: commit, job: none},
	}
	var got []string
	for _, s := range merge(queue) {
		text := s.text
		for _, c := range s.args {
			text += fmt.Sprintf(" %q", c.b[headSize:])
		}
		got = append(got, text)
	}
	want := []string{
		"BEGIN", naming + "a'", `INSERT INTO chat_sessions (x) SELECT * FROM unnest($1) "\x00\x00\x00\x01b\x00\x00\x00\x01c"`, `WITH one AS (UPDATE a) SELECT 1/count(*) FROM one`,
		`INSERT INTO "audit_subjects" ("x") VALUES ('it''s) VALUES ('), (4), (5)`, bunstore.Releases + "'a' AND id IN ('6', '7')",
		`INSERT INTO said (x) SELECT * FROM unnest($1) ON CONFLICT DO NOTHING "\x00\x00\x00\x01a"`, bunstore.Reserves + "'a', ARRAY[(1, NULL), (2, 'k')]::budget_reservation[])",
		naming + "b'", `INSERT INTO "usage" ("x") VALUES (2) ON CONFLICT DO NOTHING`, commit,
	}
	if strings.Join(got, ";\n") != strings.Join(want, ";\n") {
		t.Errorf("got\n%s", strings.Join(got, ";\n"))
	}
	if merge(queue[:1]) != nil || merge([]*statement{{text: savepoint}, {text: "UPDATE x"}}) != nil {
		t.Error("what has no job, or belongs to nobody, is merged")
	}
}

// What a turn writes waits for the commit, of which each question in between would cost
// a round trip for every turn of the batch.
func TestATurnIsWrittenWithoutAQuestion(t *testing.T) {
	s := start(t, migrated(t, server.Shared(t).Fresh(t)))
	for name, audited := range map[string]bool{"recorded": true, "not recorded": false} {
		b := s.begin(s.writes.wire(nil))
		r, err := b.Job(t.Context(), 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := request(1, audited)(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if b.sent {
			t.Errorf("%s: something is asked", name)
		}
		b.Rollback()
	}
}

// In one batch some jobs fail, and others go on with what the batch began: each
// is stored, or not, by itself.
func TestAJobThatFailsInAMergedBatchFailsAlone(t *testing.T) {
	s := start(t, migrated(t, server.Shared(t).Fresh(t)))
	taken := session.Key{Source: "header", Value: "taken"}
	var seed uint64
	conversation := func(key session.Key) (*session.Session, func(context.Context, ports.Repositories) error) {
		seed++
		inner := request(seed, true)
		var unique [10]byte
		binary.BigEndian.PutUint64(unique[1:], seed)
		v := session.New(session.NewID(time.Now(), unique), ann, key, time.Now())
		return v, func(ctx context.Context, tx ports.Repositories) error {
			return errors.Join(inner(ctx, tx), tx.Sessions().Create(ctx, ann, v))
		}
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		kept   int
		refuse int
	)
	for n := range 64 {
		key := session.Key{Source: "header", Value: fmt.Sprint(n)}
		if n%8 == 0 {
			key = taken // of these one is kept
		}
		v, job := conversation(key)
		all.Go(func() {
			err := s.Atomically(t.Context(), job)
			_, there := s.Sessions().Get(t.Context(), ann, v.ID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && there == nil:
				kept++
			case fault.Is(err, fault.Conflict) && fault.Is(there, fault.NotFound):
				refuse++
			default:
				t.Errorf("%d: got %v, and then %v", n, err, there)
			}
		})
	}
	all.Wait()
	if kept != 57 || refuse != 7 {
		t.Errorf("%d are kept, %d refused", kept, refuse)
	}
	sum, err := s.Usage().Totals(t.Context(), ann)
	if err != nil || sum.Requests != 57 {
		t.Errorf("booked are %+v, %v", sum, err)
	}
	// What each has recorded went the same way.
	entries, err := s.Trail().Range(t.Context(), 0, 100)
	if err != nil || len(entries) != 57 {
		t.Errorf("%d are recorded, %v", len(entries), err)
	}
	var v audit.Verifier
	for i := range entries {
		v.Add(&entries[i])
	}
	if found := v.Verdict().Finding; found != nil {
		t.Errorf("the audit log is broken: %+v", *found)
	}
}

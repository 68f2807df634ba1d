package trail

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/domain/audit"
	"agentapi/ports"
)

// An answer's entry, from its note to its place in the log.
func BenchmarkEntry(b *testing.B) {
	var o memory.Options
	o.SetDefaults()
	s, err := memory.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	r := NewRecorder(s, "instance", time.Now, func(p []byte) { rand.Read(p) })
	note := Note{
		Action: audit.ChatCompleted, Who: user("ann"), Request: "req_0123456789abcdef0123456789abcdef", What: "session", Own: "sess_01jd0000000000000000000000",
		Details: map[string]string{"agent": "up", "model": "mock-1", "attempts": "1", "stream": "false", "tokens_in": "10", "tokens_out": "20"},
	}
	b.ReportAllocs()
	for b.Loop() {
		e, err := r.Entry(b.Context(), note)
		if err != nil {
			b.Fatal(err)
		}
		err = s.Atomically(b.Context(), func(ctx context.Context, tx ports.Repositories) error { return r.Append(ctx, tx, e) })
		if err != nil {
			b.Fatal(err)
		}
	}
}

// The same entry, verified.
func BenchmarkVerify(b *testing.B) {
	e, err := audit.New(audit.Fields{
		ID: audit.NewID(time.Now(), [10]byte{1}), Org: user("ann").Org(), Actor: "subject_01jd0000000000000000000000", Action: audit.ChatCompleted,
		Target: "session:0123456789abcdef0123456789abcdef", Outcome: audit.OK, Request: "req_0123456789abcdef0123456789abcdef", Instance: "instance", At: time.Now(),
		Details: map[string]string{"agent": "up", "model": "mock-1", "attempts": "1", "stream": "false", "tokens_in": "10", "tokens_out": "20"},
	})
	if err != nil {
		b.Fatal(err)
	}
	var (
		seal audit.Sealer
		v    audit.Verifier
	)
	b.ReportAllocs()
	for b.Loop() {
		s := seal.Seal(e)
		v.Add(&s)
	}
	if f := v.Verdict().Finding; f != nil {
		b.Fatal(*f)
	}
}

package trail

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Keep is how the oldest entries leave the log for an archive.
type Keep struct {
	After   time.Duration // how old they must be; 0: all stay
	Archive ports.Archive
}

// Retained is what has left the log.
type Retained struct {
	Entries     int
	First, Last uint64
	Name        string // of the export
}

const (
	// retireMost is how many entries leave in one transaction.
	retireMost = 50_000
	retireTurn = "audit retention"
	// retireWithin is how long one such step may take.
	retireWithin = 10 * time.Minute
	// retireEvery is how often a server looks for what is old.
	retireEvery = time.Hour
)

// Retain has the oldest entries leave the log, where there are any: they are verified
// and exported, the export is read back and verified, the log says so, signed, and
// only then they are removed. What an earlier call did not end, it ends. The zero
// Retained: nothing is old. fault.Conflict: another server is at it, or the log is not
// what it was; then nothing is removed.
func (s *Service) Retain(ctx context.Context) (done Retained, err error) {
	if s.Keep.After <= 0 {
		return done, nil
	}
	ours, err := s.Storage.Upkeep().Lease(ctx, retireTurn, s.Instance, s.Now(), retireWithin)
	if err != nil {
		return done, err
	}
	if !ours {
		return done, fault.New(fault.Conflict, "Another server retires entries of the audit log.")
	}
	defer func() {
		_, _ = s.Storage.Upkeep().Lease(context.WithoutCancel(ctx), retireTurn, s.Instance, s.Now(), -1) // else it ends by itself
	}()
	ctx, cancel := context.WithTimeout(ctx, retireWithin)
	defer cancel()
	head, err := s.Storage.Trail().Head(ctx)
	if err != nil {
		return done, err
	}
	recorded, r, err := s.recorded(ctx)
	if err != nil {
		return done, err
	}
	if recorded == 0 || r.Last < head.First {
		if recorded, r, err = s.archive(ctx, head); err != nil || recorded == 0 {
			return done, err
		}
	}
	if err := s.kept(ctx, r); err != nil {
		return done, err
	}
	done = Retained{First: r.First, Last: r.Last, Name: archived(r)}
	done.Entries, err = s.Storage.Trail().Retire(ctx, r, recorded)
	return done, err
}

// archived names an export, so that names sort as the log does.
func archived(r audit.Retirement) string {
	return fmt.Sprintf("audit-%012d-%012d.jsonl", r.First, r.Last)
}

// recorded finds the last retirement that the log tells of; 0: none.
func (s *Service) recorded(ctx context.Context) (seq uint64, r audit.Retirement, err error) {
	found, err := s.Storage.Trail().List(ctx, audit.Filter{Actor: audit.System, Action: audit.LogRetired}, newest)
	if err != nil || len(found.Items) == 0 {
		return 0, r, err
	}
	r, ok := retirement(found.Items[0].Canon)
	if !ok || !r.Signed([]audit.Key{s.Public()}) {
		return 0, r, fault.New(fault.Conflict, "Entry %d of the audit log is a retirement that this server's key has not signed.", found.Items[0].Seq)
	}
	return found.Items[0].Seq, r, nil
}

// archive verifies and exports what is old, and records it.
func (s *Service) archive(ctx context.Context, head audit.Head) (seq uint64, r audit.Retirement, err error) {
	before := s.Now().Add(-s.Keep.After)
	var last audit.Sealed
	for after := max(head.First, 1) - 1; after < head.Seq-1; { // the last entry stays
		some, err := s.Storage.Trail().Range(ctx, after, atOnce)
		if err != nil {
			return 0, r, err
		}
		for _, e := range some {
			if !e.Columns.At().Before(before) || e.Seq >= head.Seq || e.Seq-head.First >= retireMost {
				some = nil
				break
			}
			last = e
		}
		if len(some) == 0 {
			break
		}
		after = last.Seq
	}
	if last.Seq == 0 {
		return 0, r, nil
	}
	n := last.Seq - head.First + 1
	kept, err := s.Keeper.Kept(ctx)
	if err != nil {
		return 0, r, err
	}
	v, err := Verify(ctx, s.Storage, Part{Most: n}, kept, []audit.Key{s.Public()})
	if err != nil {
		return 0, r, err
	}
	if v.Finding != nil {
		s.learn(ctx, v, func(st *State) *Checked { return &st.Whole })
		return 0, r, fault.New(fault.Conflict, "The audit log is not what it was from entry %d on: nothing is removed.", v.Finding.Seq)
	}
	var lines Exported
	r = audit.Retirement{First: head.First, Last: last.Seq}
	err = s.Keep.Archive.Store(ctx, archived(r), func(to io.Writer) error {
		for text, err := range written(&lines, s.through(ctx, head.First-1, last.Seq)) {
			if err != nil {
				return err
			}
			if _, err := to.Write(text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, r, err
	}
	var sum [32]byte
	if _, err := hex.Decode(sum[:], []byte(lines.SHA256)); err != nil {
		return 0, r, fault.Internalf("an export has no SHA-256: %w", err)
	}
	r = audit.Retire(s.Key, head.First, last.Seq, last.Hash, sum)
	if err := s.kept(ctx, r); err != nil {
		return 0, r, err
	}
	if err := s.Recorder.Record(ctx, Note{Action: audit.LogRetired, Actor: audit.System, Details: r.Details()}); err != nil {
		return 0, r, err
	}
	s.checkpoint(ctx)
	return s.recorded(ctx)
}

// through gives the pages behind a sequence number, to another one.
func (s *Service) through(ctx context.Context, from, last uint64) func(uint64) ([]audit.Sealed, uint64, error) {
	return func(after uint64) ([]audit.Sealed, uint64, error) {
		after = max(after, from)
		some, err := s.Storage.Trail().Range(ctx, after, int(min(atOnce, last-after)))
		if err == nil && len(some) == 0 {
			err = fault.New(fault.Conflict, "Entries of the audit log are gone while they are exported.")
		}
		if err != nil || some[len(some)-1].Seq >= last {
			return some, 0, err
		}
		return some, some[len(some)-1].Seq, nil
	}
}

// kept holds an export against what the log says of it.
func (s *Service) kept(ctx context.Context, r audit.Retirement) error {
	file, err := s.Keep.Archive.Open(ctx, archived(r))
	if err != nil {
		return err
	}
	defer file.Close()
	v, err := VerifyExport(&audit.Verifier{Anywhere: true}, nil, nil, file)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var end Exported
	if err := scan(file, func(l *exportLine, _ []byte) error { end = l.Exported; return nil }); err != nil {
		return err
	}
	if v.Finding != nil || v.First != r.First || v.Last != r.Last || v.Hash != r.Hash || end.SHA256 != hex.EncodeToString(r.Export[:]) {
		return fault.New(fault.Conflict, "The export %s is not what the audit log says of it: nothing is removed.", archived(r))
	}
	return nil
}

// retain has all that is old leave the log, once in a while.
func (s *Service) retain(ctx context.Context) {
	if s.Keep.After <= 0 || s.Now().Sub(s.retained) < retireEvery {
		return
	}
	s.retained = s.Now()
	for {
		done, err := s.Retain(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.Observer.Lost(ctx, "the retention of the audit log", err)
			}
			return
		}
		if done.Entries == 0 {
			return
		}
	}
}

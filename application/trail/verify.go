package trail

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"slices"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Part is a part of the log: the entries behind After, at most Most of them; 0: to
// its end.
type Part struct{ After, Most uint64 }

// Verify holds the stored log, or a part of it, against itself and against
// checkpoints: the stored ones and more, as far as keys have signed them. It holds
// one page at a time. fault.NotFound: there is no entry After.
func Verify(ctx context.Context, storage ports.Storage, p Part, more []audit.Checkpoint, keys []audit.Key) (audit.Verdict, error) {
	var v audit.Verifier
	last, err := storage.Trail().LastCheckpoint(ctx)
	if err != nil {
		return audit.Verdict{}, err
	}
	head, err := storage.Trail().Head(ctx) // which is no older than the checkpoint
	if err != nil {
		return audit.Verdict{}, err
	}
	if err := retired(ctx, storage, &v, keys); err != nil {
		return audit.Verdict{}, err
	}
	end, start := uint64(math.MaxUint64), p.After
	if start == 0 && head.First > 0 {
		start = head.First - 1
	}
	if p.Most > 0 && p.Most < head.Seq-min(start, head.Seq) {
		end = start + p.Most
	}
	if v.After, err = before(ctx, storage, p.After); err != nil {
		return audit.Verdict{}, err
	}
	v.Anywhere = p.After == 0 && head.First > 1 && forgetful(storage)
	reached := func(c audit.Checkpoint) bool { return c.Size > end }
	for after, all := uint64(0), false; !all; {
		some, err := storage.Trail().Checkpoints(ctx, after, atOnce)
		if err != nil {
			return audit.Verdict{}, err
		}
		if all = len(some) < atOnce; !all {
			after = some[len(some)-1].Number
		}
		some = slices.DeleteFunc(some, func(c audit.Checkpoint) bool { return c.Number > last.Number })
		v.Against(slices.DeleteFunc(some, reached), keys, true)
	}
	v.Against(slices.DeleteFunc(slices.Clone(more), reached), keys, false)
	for after := p.After; after < end; {
		most := min(atOnce, end-after)
		some, err := storage.Trail().Range(ctx, after, int(most))
		if err != nil {
			return audit.Verdict{}, err
		}
		for i := range some {
			v.Add(&some[i])
			after = max(after, some[i].Seq)
		}
		if len(some) < int(most) {
			break
		}
	}
	return v.Verdict(), nil
}

// retired tells the verifier what the log says was taken from its beginning.
func retired(ctx context.Context, storage ports.Storage, v *audit.Verifier, keys []audit.Key) error {
	recorded, err := storage.Trail().Retired(ctx)
	if err != nil || recorded == 0 {
		return err
	}
	some, err := storage.Trail().Range(ctx, recorded-1, 1)
	if err != nil || len(some) == 0 {
		return err
	}
	if r, ok := retirement(some[0].Canon); ok && r.Signed(keys) {
		v.Retired = append(v.Retired, r)
	}
	return nil
}

// retirement reads what an entry says is retired.
func retirement(canon []byte) (r audit.Retirement, ok bool) {
	said, err := audit.Read(canon)
	if err != nil || said.Action != audit.LogRetired {
		return r, false
	}
	r, err = said.Retired()
	return r, err == nil
}

// before gives the place of the entry that a part lies behind.
func before(ctx context.Context, storage ports.Storage, after uint64) (h audit.Head, err error) {
	if after == 0 {
		return h, nil
	}
	some, err := storage.Trail().Range(ctx, after-1, 1)
	if err != nil {
		return h, err
	}
	if len(some) == 0 || some[0].Seq != after {
		return h, fault.NotFoundf("entry_not_found", "There is no entry %d.", after)
	}
	return audit.Head{Seq: after, Hash: some[0].Hash}, nil
}

// Answer is a verdict as it is shown.
type Answer struct {
	OK          bool     `json:"ok"`
	Entries     uint64   `json:"entries"`
	First       uint64   `json:"first"`
	Last        uint64   `json:"last"`
	Checkpoints int      `json:"checkpoints"`
	Unknown     int      `json:"checkpoints_of_unknown_keys"`
	Finding     *Finding `json:"finding,omitempty"`
}

// Finding is what is wrong, as it is shown.
type Finding struct {
	Kind    audit.Tampering `json:"kind"`
	First   uint64          `json:"first"`
	Through uint64          `json:"through"`
	What    string          `json:"what"`
}

// Shown gives a verdict as it is shown.
func Shown(v audit.Verdict) Answer {
	a := Answer{v.Finding == nil, v.Entries, v.First, v.Last, v.Checkpoints, v.Unknown, nil}
	if f := v.Finding; f != nil {
		a.Finding = &Finding{f.Kind, f.Seq, f.Through, f.What}
	}
	return a
}

// forgetful tells a storage that keeps the latest entries only.
func forgetful(s ports.Storage) bool {
	f, ok := s.(interface{ Forgets() bool })
	return ok && f.Forgets()
}

// exportLine is a line of an export, of either kind.
type exportLine struct {
	line
	Exported
}

// VerifyExport holds an export against itself and against checkpoints; several are
// taken for parts of one, in their order. With v.Whose it is of an organisation
// alone. Where keys are known, what an export says is retired must be signed by one.
// fault.Invalid: it is no export.
func VerifyExport(v *audit.Verifier, checkpoints []audit.Checkpoint, keys []audit.Key, exports ...io.ReadSeeker) (audit.Verdict, error) {
	v.Against(checkpoints, keys, false)
	for _, from := range exports {
		err := scan(from, func(l *exportLine, _ []byte) error {
			if r, ok := retirement([]byte(l.Canon)); ok && (len(keys) == 0 || r.Signed(keys)) {
				v.Retired = append(v.Retired, r)
			}
			return nil
		})
		if err != nil {
			return audit.Verdict{}, err
		}
		if _, err := from.Seek(0, io.SeekStart); err != nil {
			return audit.Verdict{}, err
		}
	}
	for _, from := range exports {
		sum := sha256.New()
		err := scan(from, func(l *exportLine, text []byte) error {
			if l.Kind == "end" {
				if hex.EncodeToString(sum.Sum(nil)) != l.SHA256 {
					v.Mismatch("the export's lines are not those that its last line has the SHA-256 of")
				}
				return nil
			}
			sum.Write(text)
			sum.Write([]byte("\n"))
			e := audit.Sealed{Chain: l.Chain, Seq: l.Seq, Canon: []byte(l.Canon)}
			_, prev := hex.Decode(e.Prev[:], []byte(l.Prev[:min(len(l.Prev), 64)]))
			_, hash := hex.Decode(e.Hash[:], []byte(l.Hash[:min(len(l.Hash), 64)]))
			if prev != nil || hash != nil || l.Seq == 0 {
				return fault.Invalidf("", "", "A line is no line of an export.")
			}
			if said, err := audit.Read(e.Canon); err == nil {
				e.Columns = said.Columns // an export has no others
			}
			v.Add(&e)
			return nil
		})
		if err != nil {
			return audit.Verdict{}, err
		}
	}
	return v.Verdict(), nil
}

// scan reads an export's lines through the last one.
func scan(from io.Reader, each func(l *exportLine, text []byte) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var l exportLine
		err := json.Unmarshal(lines.Bytes(), &l)
		if err == nil {
			err = each(&l, lines.Bytes())
		}
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "Line %d is no line of an export.", n)
		}
		if l.Kind == "end" {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fault.Wrap(fault.Invalid, err, "The export cannot be read.")
	}
	return fault.Invalidf("", "", "The export has no last line: it is a part of one.")
}

package trail

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Verify holds the stored log against itself and against checkpoints: the stored
// ones and more, as far as keys have signed them.
func Verify(ctx context.Context, storage ports.Storage, more []audit.Checkpoint, keys []audit.Key) (audit.Verdict, error) {
	var (
		v      audit.Verifier
		stored []audit.Checkpoint
	)
	head, err := storage.Trail().Head(ctx)
	if err != nil {
		return audit.Verdict{}, err
	}
	v.Anywhere = head.First > 1 && forgetful(storage)
	for after := uint64(0); ; {
		some, err := storage.Trail().Checkpoints(ctx, after, atOnce)
		if err != nil {
			return audit.Verdict{}, err
		}
		stored = append(stored, some...)
		if len(some) < atOnce {
			break
		}
		after = some[len(some)-1].Number
	}
	v.Against(stored, keys, true)
	v.Against(more, keys, false)
	for after := uint64(0); ; {
		some, err := storage.Trail().Range(ctx, after, atOnce)
		if err != nil {
			return audit.Verdict{}, err
		}
		for i := range some {
			v.Add(&some[i])
			after = max(after, some[i].Seq)
		}
		if len(some) < atOnce {
			return v.Verdict(), nil
		}
	}
}

// forgetful tells a storage that keeps the latest entries only.
func forgetful(s ports.Storage) bool {
	f, ok := s.(interface{ Forgets() bool })
	return ok && f.Forgets()
}

// line is an entry in an export.
type line struct {
	Chain uint64 `json:"chain"`
	Seq   uint64 `json:"seq"`
	Prev  string `json:"prev"`
	Hash  string `json:"hash"`
	Canon string `json:"canon"`
}

// Exported is the last line of an export.
type Exported struct {
	Kind    string `json:"kind"` // end
	Entries uint64 `json:"entries"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	SHA256  string `json:"sha256"` // of all lines before
}

// Export writes the entries that f chooses, one JSON object to a line, and an
// Exported. With a zero filter it is all of the log.
func Export(ctx context.Context, storage ports.Storage, f audit.Filter, to io.Writer) (done Exported, err error) {
	sum := sha256.New()
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(io.MultiWriter(out, sum))
	lines.SetEscapeHTML(false)
	for after := uint64(0); ; {
		some, err := storage.Trail().Range(ctx, after, atOnce)
		if err != nil {
			return done, err
		}
		for i := range some {
			e := &some[i]
			if after = max(after, e.Seq); !f.Chooses(&e.Columns) {
				continue
			}
			err := lines.Encode(line{e.Chain, e.Seq, hex.EncodeToString(e.Prev[:]), hex.EncodeToString(e.Hash[:]), string(e.Canon)})
			if err != nil {
				return done, err
			}
			if done.Entries++; done.First == 0 {
				done.First = e.Seq
			}
			done.Last = e.Seq
		}
		if len(some) < atOnce {
			break
		}
	}
	done.Kind, done.SHA256 = "end", hex.EncodeToString(sum.Sum(nil))
	if err := lines.Encode(done); err != nil {
		return done, err
	}
	return done, out.Flush()
}

// VerifyExport holds an export against itself and against checkpoints. With v.Whose
// it is of an organisation alone. fault.Invalid: it is no export.
func VerifyExport(from io.Reader, v *audit.Verifier, checkpoints []audit.Checkpoint, keys []audit.Key) (audit.Verdict, error) {
	v.Against(checkpoints, keys, false)
	sum := sha256.New()
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var l struct {
			line
			Exported
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return audit.Verdict{}, fault.Wrap(fault.Invalid, err, "Line %d is no line of an export.", n)
		}
		if l.Kind == "end" {
			if hex.EncodeToString(sum.Sum(nil)) != l.SHA256 {
				v.Mismatch("the export's lines are not those that its last line has the SHA-256 of")
			}
			return v.Verdict(), nil
		}
		sum.Write(lines.Bytes())
		sum.Write([]byte("\n"))
		e := audit.Sealed{Chain: l.Chain, Seq: l.Seq, Canon: []byte(l.Canon)}
		_, prev := hex.Decode(e.Prev[:], []byte(l.Prev[:min(len(l.Prev), 64)]))
		_, hash := hex.Decode(e.Hash[:], []byte(l.Hash[:min(len(l.Hash), 64)]))
		if prev != nil || hash != nil || l.Seq == 0 {
			return audit.Verdict{}, fault.Invalidf("", "", "Line %d is no line of an export.", n)
		}
		if said, err := audit.Read(e.Canon); err == nil {
			e.Columns = said.Columns // an export has no others
		}
		v.Add(&e)
	}
	if err := lines.Err(); err != nil {
		return audit.Verdict{}, fault.Wrap(fault.Invalid, err, "The export cannot be read.")
	}
	return audit.Verdict{}, fault.Invalidf("", "", "The export has no last line: it is a part of one.")
}

package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"iter"
	"strconv"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/page"
	"agentapi/ports"
)

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

// pageWithin is how long reading a page of an export may take.
const pageWithin = 10 * time.Second

// Export writes the entries that f chooses, one JSON object to a line, and an
// Exported. With a zero filter it is all of the log.
func Export(ctx context.Context, storage ports.Storage, f audit.Filter, to io.Writer) (done Exported, err error) {
	for text, err := range Lines(ctx, storage, f, &done) {
		if err != nil {
			return done, err
		}
		if _, err := to.Write(text); err != nil {
			return done, err
		}
	}
	return done, nil
}

// Lines gives an export's lines, some at a time, and fills in done. What is given is
// good until the next is asked for.
func Lines(ctx context.Context, storage ports.Storage, f audit.Filter, done *Exported) iter.Seq2[[]byte, error] {
	return written(done, func(after uint64) ([]audit.Sealed, uint64, error) { return chosen(ctx, storage, f, after) })
}

// written gives the lines of entries that come page by page; last is where the next
// page begins, 0: there is none.
func written(done *Exported, next func(after uint64) (some []audit.Sealed, last uint64, err error)) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var out bytes.Buffer
		lines, sum := json.NewEncoder(&out), sha256.New()
		lines.SetEscapeHTML(false)
		for after, more := uint64(0), true; more; {
			some, last, err := next(after)
			if err != nil {
				yield(nil, err)
				return
			}
			after, more = last, last > 0
			out.Reset()
			for i := range some {
				e := &some[i]
				err := lines.Encode(line{e.Chain, e.Seq, hex.EncodeToString(e.Prev[:]), hex.EncodeToString(e.Hash[:]), string(e.Canon)})
				if err != nil {
					yield(nil, err)
					return
				}
				if done.Entries++; done.First == 0 {
					done.First = e.Seq
				}
				done.Last = e.Seq
			}
			if sum.Write(out.Bytes()); !more {
				done.Kind, done.SHA256 = "end", hex.EncodeToString(sum.Sum(nil))
				if err := lines.Encode(done); err != nil {
					yield(nil, err)
					return
				}
			}
			if out.Len() > 0 && !yield(out.Bytes(), nil) {
				return
			}
		}
	}
}

// chosen reads a page of what f chooses behind after. An organisation's own are
// found by their index. last is where the next page begins; 0: there is none.
func chosen(ctx context.Context, storage ports.Storage, f audit.Filter, after uint64) (some []audit.Sealed, last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageWithin)
	defer cancel()
	if f == (audit.Filter{}) {
		some, err = storage.Trail().Range(ctx, after, atOnce)
		if len(some) == atOnce {
			last = some[len(some)-1].Seq
		}
		return some, last, err
	}
	q := page.Query{Limit: page.MaxLimit}
	if after > 0 {
		q.After = strconv.FormatUint(after, 10)
	}
	found, err := storage.Trail().List(ctx, f, q)
	if found.More {
		last = found.Items[len(found.Items)-1].Seq
	}
	return found.Items, last, err
}

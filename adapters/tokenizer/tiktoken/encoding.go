package tiktoken

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"io"
	"math"
)

//go:generate go run ./pack

// The vocabularies, which pack writes and NOTICE.md says whose they are: the module that
// has them as source would make the program larger by 9 MB.
var (
	//go:embed o200k.gz
	o200k []byte
	//go:embed cl100k.gz
	cl100k []byte
)

// longest is how long a piece may be to be counted as a whole, in bytes: the time to merge
// its pairs grows with the square of it. Longer ones, which prose in words does not have,
// are counted by parts of that length; each cut may be one token off.
const longest = 256

// encoding counts by an encoding's vocabulary. It is safe for concurrent use.
type encoding struct {
	ranks map[string]uint32
	next  func(text string) int // the length of the first piece of a text that is not empty
}

// load reads a vocabulary. It panics where that is broken, which the tests rule out.
func load(packed []byte, next func(string) int) *encoding {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	e := &encoding{ranks: make(map[string]uint32, 200_000), next: next}
	for text := string(all); len(text) > 0; {
		length, n := binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
		e.ranks[text[n:n+int(length)]] = uint32(len(e.ranks))
		text = text[n+int(length):]
	}
	return e
}

func (e *encoding) count(text string) (n int) {
	for len(text) > 0 {
		length := e.next(text)
		n += e.piece(text[:length])
		text = text[length:]
	}
	return n
}

// piece counts the tokens of a piece.
func (e *encoding) piece(p string) (n int) {
	for ; len(p) > longest; p = p[longest:] {
		n += e.piece(p[:longest])
	}
	if _, ok := e.ranks[p]; ok {
		return n + 1
	}
	return n + e.merge(p)
}

// merge joins the pair of the lowest rank until no pair is a token, and counts what is
// left.
func (e *encoding) merge(p string) int {
	const none = math.MaxUint32
	var (
		starts [longest + 1]int
		ranks  [longest + 1]uint32 // of the pair that begins here
	)
	n := len(p) // the parts; starts[n] is the end
	for i := range n + 1 {
		starts[i], ranks[i] = i, none
	}
	pair := func(i int) uint32 {
		if i+2 <= n {
			if rank, ok := e.ranks[p[starts[i]:starts[i+2]]]; ok {
				return rank
			}
		}
		return none
	}
	for i := range n {
		ranks[i] = pair(i)
	}
	for {
		best := 0
		for i := 1; i < n; i++ {
			if ranks[i] < ranks[best] {
				best = i
			}
		}
		if ranks[best] == none {
			return n
		}
		copy(starts[best+1:n], starts[best+2:n+1])
		copy(ranks[best+1:n], ranks[best+2:n+1])
		n--
		if ranks[best] = pair(best); best > 0 {
			ranks[best-1] = pair(best - 1)
		}
	}
}

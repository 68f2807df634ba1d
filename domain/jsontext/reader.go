// Package jsontext reads JSON strictly and fast, for texts that come from
// strangers and are mostly passed on as they are.
//
// Unlike encoding/json it refuses duplicate names, invalid UTF-8, lone
// surrogates and trailing data, matches names exactly, bounds the depth, and
// hands out the bytes of any value without decoding it.
package jsontext

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest.
const MaxDepth = 64

// SyntaxError says why and where a text is not acceptable JSON.
type SyntaxError struct {
	Offset int
	Reason string
	Code   string // invalid_json, invalid_encoding or duplicate_key
	Name   string // of duplicate_key: the member's name
}

func (e *SyntaxError) Error() string {
	return e.Reason + " at byte " + strconv.Itoa(e.Offset)
}

// Reader walks over one JSON text. Its methods read one value each and leave
// the reader after it. The zero Reader is not usable; see NewReader. After an
// error the reader must not be used again.
type Reader struct {
	b     []byte
	i     int
	depth int
}

// NewReader reads text. The text must not change while the reader is used.
func NewReader(text []byte) *Reader { return &Reader{b: text} }

// Reset makes r read text from its start.
func (r *Reader) Reset(text []byte) { *r = Reader{b: text} }

// Offset is where the next value or delimiter is looked for.
func (r *Reader) Offset() int { return r.i }

func (r *Reader) fail(reason string) error {
	return &SyntaxError{Offset: r.i, Reason: reason, Code: "invalid_json"}
}

func (r *Reader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\r', '\n':
			r.i++
		default:
			return
		}
	}
}

// Kind peeks at the next value: '{', '[', '"', '0' (a number), 't', 'f', 'n',
// or 0 where no value begins.
func (r *Reader) Kind() byte {
	r.space()
	if r.i >= len(r.b) {
		return 0
	}
	switch c := r.b[r.i]; c {
	case '{', '[', '"', 't', 'f', 'n':
		return c
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return '0'
	default:
		return 0
	}
}

// End checks that nothing but white space follows.
func (r *Reader) End() error {
	r.space()
	if r.i != len(r.b) {
		return r.fail("unexpected data after the JSON value")
	}
	return nil
}

// Object reads an object and calls each for every member with its decoded name;
// each must read the member's value. The name is valid during the call only.
func (r *Reader) Object(each func(name []byte) error) error {
	if err := r.open('{'); err != nil {
		return err
	}
	var seen names
	for first := true; ; first = false {
		at := r.i
		name, ok, err := r.Member(first)
		if !ok {
			return err
		}
		if seen.add(name) {
			return &SyntaxError{Offset: at, Reason: "duplicate name " + strconv.Quote(string(name)), Code: "duplicate_key", Name: string(name)}
		}
		if err := each(name); err != nil {
			return err
		}
	}
}

// Array reads an array and calls each for every element; each must read it.
func (r *Reader) Array(each func(n int) error) error {
	if err := r.open('['); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if ok, err := r.Element(n == 0); !ok {
			return err
		}
		if err := each(n); err != nil {
			return err
		}
	}
}

// Enter steps into an object ('{') or an array ('['), for walking over it with
// Member or Element. Unlike Object, that finds no duplicate names.
func (r *Reader) Enter(c byte) error { return r.open(c) }

// Member steps to the next member of the object that was entered and returns its
// decoded name, valid until the reader moves; the caller reads the value. first
// tells that none was read yet. ok is false when the object has ended.
func (r *Reader) Member(first bool) (name []byte, ok bool, err error) {
	if more, err := r.next('}', first); !more {
		return nil, false, err
	}
	r.space()
	if name, err = r.text(); err != nil {
		return nil, false, err
	}
	r.space()
	if r.i >= len(r.b) || r.b[r.i] != ':' {
		return nil, false, r.fail("expected a colon after the name")
	}
	r.i++
	return name, true, nil
}

// Element steps to the next element of the array that was entered. ok is false
// when the array has ended.
func (r *Reader) Element(first bool) (ok bool, err error) { return r.next(']', first) }

// next steps over the comma before an element, or over the end.
func (r *Reader) next(end byte, first bool) (more bool, err error) {
	r.space()
	switch {
	case r.i >= len(r.b):
		return false, r.fail("unexpected end of JSON")
	case r.b[r.i] == end:
		r.i++
		r.depth--
		return false, nil
	case first:
		return true, nil
	case r.b[r.i] != ',':
		return false, r.fail("expected a comma or the end")
	}
	r.i++
	r.space()
	if r.i < len(r.b) && r.b[r.i] == end {
		return false, r.fail("expected a value after the comma")
	}
	return true, nil
}

func (r *Reader) open(c byte) error {
	r.space()
	if r.i >= len(r.b) {
		return r.fail("unexpected end of JSON")
	}
	if r.b[r.i] != c {
		return r.fail("expected " + strconv.QuoteRune(rune(c)))
	}
	if r.depth++; r.depth > MaxDepth {
		return r.fail("nested deeper than " + strconv.Itoa(MaxDepth) + " levels")
	}
	r.i++
	return nil
}

// String reads a string and decodes it.
func (r *Reader) String() (string, error) {
	r.space()
	b, err := r.text()
	return string(b), err
}

// Bytes reads a string and decodes it. What it returns aliases the text where
// the string has no escapes.
func (r *Reader) Bytes() ([]byte, error) {
	r.space()
	return r.text()
}

// Number reads a number and returns its text.
func (r *Reader) Number() ([]byte, error) {
	r.space()
	start := r.i
	digits := func() bool {
		from := r.i
		for r.i < len(r.b) && r.b[r.i]-'0' <= 9 {
			r.i++
		}
		return r.i > from
	}
	if r.i < len(r.b) && r.b[r.i] == '-' {
		r.i++
	}
	if r.i < len(r.b) && r.b[r.i] == '0' {
		r.i++
	} else if !digits() {
		return nil, r.fail("expected a number")
	}
	if r.i < len(r.b) && r.b[r.i] == '.' {
		r.i++
		if !digits() {
			return nil, r.fail("expected digits after the decimal point")
		}
	}
	if r.i < len(r.b) && r.b[r.i]|0x20 == 'e' {
		r.i++
		if r.i < len(r.b) && (r.b[r.i] == '+' || r.b[r.i] == '-') {
			r.i++
		}
		if !digits() {
			return nil, r.fail("expected digits in the exponent")
		}
	}
	return r.b[start:r.i], nil
}

// Bool reads true or false.
func (r *Reader) Bool() (bool, error) {
	if r.Kind() == 't' {
		return true, r.literal("true")
	}
	return false, r.literal("false")
}

// Null reads null.
func (r *Reader) Null() error {
	r.space()
	return r.literal("null")
}

func (r *Reader) literal(word string) error {
	if !bytes.HasPrefix(r.b[r.i:], []byte(word)) {
		return r.fail("expected " + word)
	}
	r.i += len(word)
	return nil
}

// Value reads any value, checks it, and returns its bytes, which alias the text.
func (r *Reader) Value() ([]byte, error) {
	kind := r.Kind()
	start := r.i
	if err := r.skip(kind); err != nil {
		return nil, err
	}
	return r.b[start:r.i], nil
}

func (r *Reader) skip(kind byte) (err error) {
	switch kind {
	case '{':
		err = r.Object(r.skipMember)
	case '[':
		err = r.Array(r.skipElement)
	case '"':
		_, err = r.text()
	case '0':
		_, err = r.Number()
	case 't', 'f':
		_, err = r.Bool()
	case 'n':
		err = r.Null()
	default:
		if r.i >= len(r.b) {
			return r.fail("unexpected end of JSON")
		}
		return r.fail("expected a JSON value")
	}
	return err
}

func (r *Reader) skipMember([]byte) error { return r.skip(r.Kind()) }
func (r *Reader) skipElement(int) error   { return r.skip(r.Kind()) }

// text reads a string from its opening quote on.
func (r *Reader) text() ([]byte, error) {
	if r.i >= len(r.b) {
		return nil, r.fail("unexpected end of JSON")
	}
	if r.b[r.i] != '"' {
		return nil, r.fail("expected a string")
	}
	r.i++
	start := r.i
	var out []byte // what is decoded so far, once an escape was seen
	from := start
	for {
		n := plain(r.b[r.i:])
		r.i += n
		if r.i >= len(r.b) {
			return nil, r.fail("unexpected end of a string")
		}
		switch c := r.b[r.i]; {
		case c == '"':
			part := r.b[from:r.i]
			r.i++
			if out == nil {
				return part, nil
			}
			return append(out, part...), nil
		case c == '\\':
			out = append(out, r.b[from:r.i]...)
			var err error
			if out, err = r.escape(out); err != nil {
				return nil, err
			}
			from = r.i
		case c < ' ':
			return nil, r.fail("control character in a string")
		default:
			if err := r.runes(); err != nil {
				return nil, err
			}
		}
	}
}

// runes steps over a run of runes outside ASCII.
func (r *Reader) runes() error {
	for r.i < len(r.b) && r.b[r.i] >= utf8.RuneSelf {
		c, n := utf8.DecodeRune(r.b[r.i:])
		if c == utf8.RuneError && n <= 1 {
			return &SyntaxError{Offset: r.i, Reason: "invalid UTF-8", Code: "invalid_encoding"}
		}
		r.i += n
	}
	return nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain counts the bytes at the start of b that stand for themselves in a
// string: ASCII but quote, backslash and control characters.
func plain(b []byte) int {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		special := w | (quote-ones)&^quote | (slash-ones)&^slash | (w-ones*0x20)&^w
		if special &= highs; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

func (r *Reader) escape(out []byte) ([]byte, error) {
	r.i++
	if r.i >= len(r.b) {
		return nil, r.fail("unexpected end of a string")
	}
	c := r.b[r.i]
	r.i++
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
		u, err := r.hex4()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(u) {
			at := r.i
			lone := &SyntaxError{Offset: at, Reason: "lone surrogate in a string", Code: "invalid_encoding"}
			if r.i+1 >= len(r.b) || r.b[r.i] != '\\' || r.b[r.i+1] != 'u' {
				return nil, lone
			}
			r.i += 2
			low, err := r.hex4()
			if err != nil {
				return nil, err
			}
			if u = utf16.DecodeRune(u, low); u == utf8.RuneError {
				return nil, lone
			}
		}
		return utf8.AppendRune(out, u), nil
	default:
		r.i--
		return nil, r.fail("invalid escape in a string")
	}
}

func (r *Reader) hex4() (rune, error) {
	if r.i+4 > len(r.b) {
		return 0, r.fail("unexpected end of a string")
	}
	var u rune
	for _, c := range r.b[r.i : r.i+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, r.fail("invalid \\u escape in a string")
		}
		u = u<<4 | rune(c)
	}
	r.i += 4
	return u, nil
}

// names remembers the names of one object. Few are compared one by one; a map
// takes over when there are many.
type names struct {
	few  [12][]byte
	n    int
	many map[string]struct{}
}

// add tells whether name was there already.
func (s *names) add(name []byte) bool {
	if s.many != nil {
		if _, dup := s.many[string(name)]; dup {
			return true
		}
		s.many[string(name)] = struct{}{}
		return false
	}
	for _, f := range s.few[:s.n] {
		if bytes.Equal(f, name) {
			return true
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return false
	}
	s.many = make(map[string]struct{}, 2*len(s.few))
	for _, f := range s.few {
		s.many[string(f)] = struct{}{}
	}
	s.many[string(name)] = struct{}{}
	return false
}

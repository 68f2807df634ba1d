package postgres

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"agentapi/adapters/storage/bunstore"
)

// kindOf is a type as arrays of it are sent: its own number, and that of the array.
type kindOf struct{ element, array uint32 }

// The database's numbers for types, which never change.
var (
	booleans = kindOf{16, 1000}
	bigints  = kindOf{20, 1016}
	integers = kindOf{23, 1007}
	texts    = kindOf{25, 1009}
	times    = kindOf{1184, 1185}
	uuids    = kindOf{2950, 2951}
	jsons    = kindOf{3802, 3807}
)

// epoch is what the database counts microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// column is the values of one column, as the array that the database reads: nothing
// has to be quoted here, nor parsed and turned into its type there.
type column struct {
	kindOf
	n     uint32
	nulls uint32 // 1 where there is a null
	b     []byte // room for the head, and the elements
}

const headSize = 20

func (c *column) value(k kindOf, size int) {
	if c.b == nil {
		c.kindOf, c.b = k, make([]byte, headSize, 128)
	}
	c.n++
	c.b = binary.BigEndian.AppendUint32(c.b, uint32(size))
}

func (c *column) null(k kindOf) {
	c.value(k, -1)
	c.nulls = 1
}

func put[T string | []byte](c *column, k kindOf, s T) {
	c.value(k, len(s))
	c.b = append(c.b, s...)
}

func (c *column) uuid(text string) {
	id, _ := uuidOf(text) // it was looked at before
	c.value(uuids, len(id))
	c.b = append(c.b, id[:]...)
}

// uuidOf reads an id.
func uuidOf(text string) (id [16]byte, ok bool) {
	if len(text) != 36 {
		return id, false
	}
	var not byte
	for i, at := range [...]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		high, low := digit(text[at]), digit(text[at+1])
		not |= high | low
		id[i] = high<<4 | low
	}
	return id, not < 16
}

// digit is the value of a digit, or more than any has.
func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 0xff
	}
}

// bytes is the column as an argument.
func (c *column) bytes() []byte {
	for i, n := range [...]uint32{1, c.nulls, c.element, c.n, 1} { // dimensions, and the first's size and begin
		binary.BigEndian.PutUint32(c.b[4*i:], n)
	}
	return c.b
}

// columns are the values of rows.
type columns struct {
	all  []column
	next int
}

var _ bunstore.Columns = (*columns)(nil)

func (c *columns) column() *column {
	if c.next == len(c.all) {
		c.all = append(c.all, column{})
	}
	c.next++
	return &c.all[c.next-1]
}

// UUID adds an id.
func (c *columns) UUID(text string) { c.column().uuid(text) }

// UUIDOrNull adds an id, or null.
func (c *columns) UUIDOrNull(text *string) {
	if text == nil {
		c.column().null(uuids)
		return
	}
	c.column().uuid(*text)
}

// Text adds a text.
func (c *columns) Text(s string) { put(c.column(), texts, s) }

// TextOrNull adds a text, or null.
func (c *columns) TextOrNull(s *string) {
	if s == nil {
		c.column().null(texts)
		return
	}
	put(c.column(), texts, *s)
}

// JSON adds a text that is JSON.
func (c *columns) JSON(text string) {
	to := c.column()
	to.value(jsons, len(text)+1)
	to.b = append(append(to.b, 1), text...) // the version of the form
}

// Integer adds a number of 32 bits.
func (c *columns) Integer(n int) {
	to := c.column()
	to.value(integers, 4)
	to.b = binary.BigEndian.AppendUint32(to.b, uint32(n))
}

// Bigint adds a number of 64 bits.
func (c *columns) Bigint(n int64) { c.long(bigints, n) }

// Time adds a moment.
func (c *columns) Time(at time.Time) { c.long(times, at.UnixMicro()-epoch) }

func (c *columns) long(k kindOf, n int64) {
	to := c.column()
	to.value(k, 8)
	to.b = binary.BigEndian.AppendUint64(to.b, uint64(n))
}

// Boolean adds whether something is so.
func (c *columns) Boolean(is bool) {
	to := c.column()
	to.value(booleans, 1)
	if is {
		to.b = append(to.b, 1)
	} else {
		to.b = append(to.b, 0)
	}
}

// sound looks whether the database takes values, of which one that it refuses would fail
// a whole batch, and how much they are.
type sound struct {
	size int
	not  bool
}

var _ bunstore.Columns = (*sound)(nil)

// UUID looks whether it is one.
func (s *sound) UUID(text string) {
	_, ok := uuidOf(text)
	s.not = s.not || !ok
}

// UUIDOrNull looks at an id, if there is one.
func (s *sound) UUIDOrNull(text *string) {
	if text != nil {
		s.UUID(*text)
	}
}

// Text looks at a text.
func (s *sound) Text(text string) {
	s.size += len(text)
	s.not = s.not || strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text)
}

// TextOrNull looks at a text, if there is one.
func (s *sound) TextOrNull(text *string) {
	if text != nil {
		s.Text(*text)
	}
}

// JSON looks at it as a text.
func (s *sound) JSON(text string) { s.Text(text) }

// Integer looks whether a number has 32 bits.
func (s *sound) Integer(n int) { s.not = s.not || n != int(int32(n)) }

// Bigint is taken.
func (s *sound) Bigint(int64) {}

// Boolean is taken.
func (s *sound) Boolean(bool) {}

// Time is taken.
func (s *sound) Time(time.Time) {}

// adding is rows to be added to a table, in one statement.
type adding struct {
	into bunstore.Table
	columns
}

func (a *adding) rows(i bunstore.Insert) {
	for _, row := range i.Rows {
		a.next = 0
		row.Values(a)
	}
}

// statement is what adds them.
func (a *adding) statement(job int) *statement {
	var text strings.Builder
	text.WriteString("INSERT INTO " + a.into.Name + " (" + a.into.Columns + ") SELECT * FROM unnest(")
	for i := range a.all {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteByte('$')
		text.WriteString(strconv.Itoa(i + 1))
	}
	text.WriteByte(')')
	if a.into.Unless {
		text.WriteString(bunstore.Unless)
	}
	return &statement{text: text.String(), args: a.all, job: job}
}

// Package sse reads the data of server-sent events.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Reader gives one event's data after the other. It is for one goroutine.
type Reader struct {
	in  *bufio.Reader
	max int
}

// ErrTooLong says that a line has more bytes than allowed.
var ErrTooLong = errors.New("a line of the stream is too long")

// NewReader reads events whose lines have at most max bytes.
func NewReader(r io.Reader, max int) *Reader { return &Reader{bufio.NewReaderSize(r, 8<<10), max} }

// Next gives the data of the next line that has any, without blanks around; it is
// valid until the following call. io.EOF: the stream has ended between lines.
func (r *Reader) Next() ([]byte, error) {
	for {
		line, err := r.line()
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		switch {
		case ok && err == nil:
			return bytes.TrimSpace(data), nil
		case err == io.EOF && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
	}
}

func (r *Reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > r.max {
			return nil, ErrTooLong
		}
		line, err = r.in.ReadSlice('\n')
		long = append(long, line...)
	}
	return long, err
}

// Package id makes and reads the identifiers of our own objects: UUIDv7, so
// that they sort by time, typed, so that a user's id is never taken for a
// session's, and shown as a prefix and Crockford base32 (sess_01jd…).
package id

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Kind names a sort of object; its Prefix stands before the text form.
type Kind interface{ Prefix() string }

// ID is the identifier of an object of kind K. The zero ID is no object's.
type ID[K Kind] [16]byte

// New makes an id for the moment at, with entropy from rand. The first 48 bits
// are at in Unix milliseconds (RFC 9562, section 5.7).
func New[K Kind](at time.Time, rand [10]byte) ID[K] {
	var u ID[K]
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	copy(u[6:], rand[:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u
}

// IsZero tells whether u names nothing.
func (u ID[K]) IsZero() bool { return u == ID[K]{} }

// Time gives the moment that the id was made for, to the millisecond, in UTC.
func (u ID[K]) Time() time.Time {
	var ms int64
	for i := range 6 {
		ms = ms<<8 | int64(u[i])
	}
	return time.UnixMilli(ms).UTC()
}

const (
	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
	digits    = "0123456789abcdef" // of the hexadecimal form
)

// String gives the form that callers see: prefix, underscore, 26 characters of
// Crockford base32. The zero id gives "".
func (u ID[K]) String() string {
	if u.IsZero() {
		return ""
	}
	var (
		k     K
		small [64]byte
	)
	return string(u.spell(append(append(small[:0], k.Prefix()...), '_')))
}

// Behind gives the characters of that form behind another prefix.
func (u ID[K]) Behind(prefix string) string {
	var small [64]byte
	return string(u.spell(append(small[:0], prefix...)))
}

func (u ID[K]) spell(out []byte) []byte {
	// 128 bits in 26 digits of five, from the last one on: twelve of the low half, one of
	// both, and of the high half the rest, of which the first carries the top three bits.
	hi, lo := be64(u[:8]), be64(u[8:])
	at := len(out)
	out = append(out, "00000000000000000000000000"...)
	digits := out[at : at+26]
	for i := 25; i > 13; i-- {
		digits[i] = crockford[lo&31]
		lo >>= 5
	}
	digits[13] = crockford[(lo|hi<<4)&31]
	hi >>= 1
	for i := 12; i >= 0; i-- {
		digits[i] = crockford[hi&31]
		hi >>= 5
	}
	return out
}

// UUID gives the canonical hexadecimal form.
func (u ID[K]) UUID() string {
	var out [36]byte
	return string(u.AppendUUID(out[:0]))
}

// AppendUUID appends what UUID gives.
func (u ID[K]) AppendUUID(b []byte) []byte {
	b = hex.AppendEncode(b, u[:4])
	for _, part := range [...][2]int{{4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		b = hex.AppendEncode(append(b, '-'), u[part[0]:part[1]])
	}
	return b
}

// Parse reads either spelling: prefix and base32, or a lower-case UUID. It
// refuses everything else, the zero id included.
func Parse[K Kind](s string) (ID[K], error) {
	var (
		u ID[K]
		k K
	)
	bad := func() (ID[K], error) { return ID[K]{}, fmt.Errorf("%q is not a %s id", s, k.Prefix()) }
	if rest, ok := strings.CutPrefix(s, k.Prefix()+"_"); ok {
		if len(rest) != 26 || rest[0] > '7' {
			return bad()
		}
		var hi, lo uint64
		for i := range rest {
			d := strings.IndexByte(crockford, rest[i])
			if d < 0 {
				return bad()
			}
			hi = hi<<5 | lo>>59
			lo = lo<<5 | uint64(d)
		}
		put64(u[:8], hi)
		put64(u[8:], lo)
	} else {
		if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return bad()
		}
		at := 0
		for i := range u {
			if i == 4 || i == 6 || i == 8 || i == 10 {
				at++ // the hyphen
			}
			hi, lo := strings.IndexByte(digits, s[at]), strings.IndexByte(digits, s[at+1])
			if hi < 0 || lo < 0 {
				return bad()
			}
			u[i] = byte(hi<<4 | lo)
			at += 2
		}
	}
	if u.IsZero() {
		return bad()
	}
	return u, nil
}

// MarshalText gives the form that callers see.
func (u ID[K]) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads either spelling; empty text is the zero id.
func (u *ID[K]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*u = ID[K]{}
		return nil
	}
	v, err := Parse[K](string(b))
	*u = v
	return err
}

func be64(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

func put64(b []byte, v uint64) {
	for i := range b {
		b[i] = byte(v >> (56 - 8*i))
	}
}

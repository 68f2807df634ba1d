package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Checkpoint says what the chain was at a moment, signed: a C2SP checkpoint in a
// signed note. Kept apart from the log, it shows that the log was cut or written
// anew.
type Checkpoint struct {
	Origin   string // the log's name, which is the key's too
	Size     uint64 // entries; the last one's sequence number
	Root     [32]byte
	At       time.Time
	Previous [32]byte // SHA-256 of the note before; zero for the first
	Note     string   // all of it, signed
	Number   uint64   // its place among those that are stored; 0: it is not
}

// Hash is what the next checkpoint says of this one.
func (c *Checkpoint) Hash() [32]byte { return sha256.Sum256([]byte(c.Note)) }

const (
	ed25519Kind = 1 // of a key, in signed notes
	dash        = "— "
)

// Origin gives a log the name that follows from its key.
func Origin(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "agentapi-audit/" + hex.EncodeToString(sum[:8])
}

func keyID(name string, key ed25519.PublicKey) [4]byte {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{ed25519Kind})
	h.Write(key)
	return [4]byte(h.Sum(nil))
}

// Sign makes a checkpoint of a head.
func Sign(key ed25519.PrivateKey, head Head, at time.Time, previous [32]byte) Checkpoint {
	public := key.Public().(ed25519.PublicKey)
	c := Checkpoint{Origin: Origin(public), Size: head.Seq, Root: head.Hash, At: at.UTC().Truncate(time.Microsecond), Previous: previous}
	text := c.text()
	id := keyID(c.Origin, public)
	signed := append(id[:], ed25519.Sign(key, []byte(text))...)
	c.Note = text + "\n" + dash + c.Origin + " " + base64.StdEncoding.EncodeToString(signed) + "\n"
	return c
}

func (c *Checkpoint) text() string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s\n%d\n%s\ntime %d\nprevious %s\n", c.Origin, c.Size, b64(c.Root[:]), c.At.UnixMicro(), b64(c.Previous[:]))
}

// ParseCheckpoint reads a note; it does not look at the signature.
func ParseCheckpoint(note string) (c Checkpoint, err error) {
	text, _, ok := strings.Cut(note, "\n\n"+dash)
	lines := strings.Split(text, "\n")
	if !ok || len(lines) != 5 {
		return c, errors.New("this is no checkpoint of an audit log")
	}
	c.Origin, c.Note = lines[0], note
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil {
		return c, fmt.Errorf("the size of a checkpoint: %w", err)
	}
	if err := hash(lines[2], &c.Root); err != nil {
		return c, err
	}
	micros, ok := strings.CutPrefix(lines[3], "time ")
	at, err := strconv.ParseInt(micros, 10, 64)
	if !ok || err != nil {
		return c, errors.New("a checkpoint has no time")
	}
	c.At = time.UnixMicro(at).UTC()
	previous, ok := strings.CutPrefix(lines[4], "previous ")
	if !ok {
		return c, errors.New("a checkpoint does not name the one before")
	}
	if err := hash(previous, &c.Previous); err != nil {
		return c, err
	}
	if c.text() != text+"\n" {
		return c, errors.New("a checkpoint is not in its form")
	}
	return c, nil
}

func hash(text string, into *[32]byte) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != len(into) {
		return errors.New("a checkpoint has what is no hash")
	}
	copy(into[:], b)
	return nil
}

// Key is a public key that checkpoints are checked with.
type Key struct {
	Name   string
	Public ed25519.PublicKey
}

// KeyOf is the public part of a signing key.
func KeyOf(key ed25519.PrivateKey) Key {
	public := key.Public().(ed25519.PublicKey)
	return Key{Name: Origin(public), Public: public}
}

// String gives the key as signed notes have it: name+id+key.
func (k Key) String() string {
	id := keyID(k.Name, k.Public)
	return k.Name + "+" + hex.EncodeToString(id[:]) + "+" + base64.StdEncoding.EncodeToString(append([]byte{ed25519Kind}, k.Public...))
}

// ParseKey reads what String gives.
func ParseKey(s string) (Key, error) {
	bad := fmt.Errorf("%q is no key of an audit log, such as agentapi-audit/…+12ab34cd+AV…", s)
	name, rest, ok := strings.Cut(s, "+")
	id, text, more := strings.Cut(rest, "+")
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || !more || err != nil || len(b) != 1+ed25519.PublicKeySize || b[0] != ed25519Kind {
		return Key{}, bad
	}
	k := Key{Name: name, Public: b[1:]}
	if want := keyID(name, k.Public); hex.EncodeToString(want[:]) != id {
		return Key{}, bad
	}
	return k, nil
}

// Signed tells whether one of the keys has signed the checkpoint, and whether the
// one that it names is among them at all.
func (c *Checkpoint) Signed(keys []Key) (good, known bool) {
	text, rest, _ := strings.Cut(c.Note, "\n\n")
	for line := range strings.Lines(rest) {
		name, sig, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, dash), "\n"), " ")
		b, err := base64.StdEncoding.DecodeString(sig)
		if !ok || err != nil || len(b) != 4+ed25519.SignatureSize {
			continue
		}
		for _, k := range keys {
			if id := keyID(k.Name, k.Public); k.Name == name && bytes.Equal(id[:], b[:4]) {
				known = true
				good = good || ed25519.Verify(k.Public, []byte(text+"\n"), b[4:])
			}
		}
	}
	return good, known
}

// Notes takes a file of notes, one after the other, apart.
func Notes(text string) (out []Checkpoint, err error) {
	for text != "" {
		at := strings.Index(text, "\n\n"+dash)
		end := -1
		if at >= 0 {
			end = strings.Index(text[at+3:], "\n")
		}
		if end < 0 {
			return out, errors.New("the file ends within a checkpoint")
		}
		end += at + 4
		c, err := ParseCheckpoint(text[:end])
		if err != nil {
			return out, err
		}
		out = append(out, c)
		text = text[end:]
	}
	return out, nil
}

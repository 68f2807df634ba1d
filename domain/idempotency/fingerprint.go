package idempotency

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
)

// Fingerprint tells requests apart that come with one key: by the JSON text of
// their body, in whatever order its members stand, and by what else they are about.
func Fingerprint(body []byte, about ...string) [32]byte {
	h := sha256.New()
	for _, s := range about {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write(canonical(body))
	return [32]byte(h.Sum(nil))
}

// canonical renders a JSON text with its members in order; numbers stay as they
// are written.
func canonical(text []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return text
	}
	out, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return out
}

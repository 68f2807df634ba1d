package audit

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// Retirement says that the log no longer has its entries through Last, and what
// they were: an entry of the log holds it, signed by the key of the checkpoints.
type Retirement struct {
	First, Last uint64
	Hash        [32]byte // the last one's
	Export      [32]byte // SHA-256 of the lines of the export that has them
	Signature   []byte
}

// Retire makes a signed Retirement.
func Retire(key ed25519.PrivateKey, first, last uint64, hash, export [32]byte) Retirement {
	r := Retirement{First: first, Last: last, Hash: hash, Export: export}
	r.Signature = ed25519.Sign(key, r.text())
	return r
}

// text is what is signed.
func (r *Retirement) text() []byte {
	return fmt.Appendf(nil, "agentapi-audit-retention-v1\n%d\n%d\n%x\n%x\n", r.First, r.Last, r.Hash, r.Export)
}

// Signed tells whether one of the keys has signed it.
func (r *Retirement) Signed(keys []Key) bool {
	for _, k := range keys {
		if ed25519.Verify(k.Public, r.text(), r.Signature) {
			return true
		}
	}
	return false
}

// Details is how it stands in an entry.
func (r *Retirement) Details() map[string]string {
	return map[string]string{
		"first": strconv.FormatUint(r.First, 10), "last": strconv.FormatUint(r.Last, 10), "last_hash": hex.EncodeToString(r.Hash[:]),
		"sha256": hex.EncodeToString(r.Export[:]), "signature": hex.EncodeToString(r.Signature),
	}
}

// Retired reads the Retirement that an entry holds.
func (s *Said) Retired() (r Retirement, err error) {
	if s.Action != LogRetired {
		return r, errors.New("the entry retires nothing")
	}
	var errs [5]error
	r.First, errs[0] = strconv.ParseUint(s.Details["first"], 10, 63)
	r.Last, errs[1] = strconv.ParseUint(s.Details["last"], 10, 63)
	for i, part := range []struct {
		name string
		into []byte
	}{{"last_hash", r.Hash[:]}, {"sha256", r.Export[:]}} {
		b, err := hex.DecodeString(s.Details[part.name])
		if err == nil && len(b) != len(part.into) {
			err = fmt.Errorf("%s is no hash", part.name)
		}
		errs[2+i] = err
		copy(part.into, b)
	}
	r.Signature, errs[4] = hex.DecodeString(s.Details["signature"])
	return r, errors.Join(errs[:]...)
}

// RecordedBy tells whether an entry, which must stay, says that r is so.
func (r *Retirement) RecordedBy(s *Sealed) bool {
	said, err := Read(s.Canon)
	if err != nil || s.Seq <= r.Last || said.Outcome != OK {
		return false
	}
	own, err := said.Retired()
	return err == nil && own.Last == r.Last && own.Hash == r.Hash
}

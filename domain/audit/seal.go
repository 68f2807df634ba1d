package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"agentapi/domain/tenancy"
)

// Chain is the number of the chain that is written. A deployment has one.
const Chain = 1

// domain stands before everything that is hashed, so that a hash of this log is
// never taken for one of anything else.
const domain = "agentapi-audit-v1\x00"

// Sealed is an entry in its place in the chain.
type Sealed struct {
	Chain, Seq uint64 // from 1 on, without gaps
	Prev, Hash [32]byte
	Canon      []byte
	Columns    Columns // as they are stored beside
}

// Head is the last entry of a chain.
type Head struct {
	Seq   uint64 // 0: there is none
	Hash  [32]byte
	First uint64 // the first that is still kept; 0: there is none
}

// Hash is SHA-256("agentapi-audit-v1\0" ‖ u64be chain ‖ u64be seq ‖ prev ‖ u32be len ‖ canon).
func Hash(chain, seq uint64, prev [32]byte, canon []byte) [32]byte {
	var small [usual + 256]byte
	b := append(small[:0], domain...)
	b = binary.BigEndian.AppendUint64(b, chain)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = append(b, prev[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(canon)))
	return sha256.Sum256(append(b, canon...))
}

// Sealer puts entries into their place behind a head.
type Sealer struct {
	Head Head
	// Orgs are the organisations' last places; where one is missing, its next entry
	// is its first.
	Orgs map[tenancy.OrgID]Place
}

// Seal gives e its place and moves the head.
func (s *Sealer) Seal(e Entry) Sealed {
	out := Sealed{Chain: Chain, Seq: s.Head.Seq + 1, Prev: s.Head.Hash}
	org := e.Org()
	place := s.Orgs[org]
	if !org.IsZero() {
		place.Seq++
	}
	var small [usual + 256]byte
	out.Canon = bytes.Clone(e.appendCanon(small[:0], place))
	out.Hash = Hash(out.Chain, out.Seq, out.Prev, out.Canon)
	out.Columns = e.columns
	out.Columns.OrgSeq = place.Seq
	s.Head.Seq, s.Head.Hash = out.Seq, out.Hash
	if s.Head.First == 0 {
		s.Head.First = out.Seq
	}
	if !org.IsZero() {
		if s.Orgs == nil {
			s.Orgs = make(map[tenancy.OrgID]Place)
		}
		s.Orgs[org] = Place{Seq: place.Seq, Prev: out.Hash}
	}
	return out
}

package tenancy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/quota"
)

type keyKind struct{}

func (keyKind) Prefix() string { return "key" }

// KeyID identifies an API key.
type KeyID = id.ID[keyKind]

// NewKeyID makes a key's id for the moment at.
func NewKeyID(at time.Time, rand [10]byte) KeyID { return id.New[keyKind](at, rand) }

// ParseKeyID reads a key's id in either spelling.
func ParseKeyID(s string) (KeyID, error) { return id.Parse[keyKind](s) }

// APIKey is a credential that a user or a service account acts by. The credential
// itself is not kept, but a keyed hash of its secret.
type APIKey struct {
	ID       KeyID
	Org      OrgID
	User     UserID // whose it is: a user, or a service account
	Name     string
	Hint     string // how the credential begins and ends, to tell it from others
	Hash     [sha256.Size]byte
	Pepper   [PepperMark]byte // tells by which pepper the hash was made
	Role     Role             // the most that it may be; the owner's own role bounds it, too
	Models   []string         // that may be asked for, as asked for or as agent/model; one that ends in * is a prefix; empty: all
	Networks []netip.Prefix   // from where it may be used; empty: from everywhere
	Limits   quota.Own        // that the organisation has given it
	SCIM     bool             // it provisions the organisation by SCIM, and does nothing else
	Expires  time.Time        // zero: never
	LastUsed time.Time        // to about a minute; zero: never
	Revoked  time.Time        // zero: it is good
	Version  int
	Created  time.Time
	Updated  time.Time
}

// The bounds of what a key may carry.
const (
	MaxKeyModels   = 100
	MaxKeyNetworks = 100
	maxPattern     = 200
)

// Check refuses a key that is out of bounds.
func (k *APIKey) Check(at time.Time) error {
	if err := ValidTitle("name", k.Name); err != nil {
		return err
	}
	switch {
	case !k.Expires.IsZero() && !k.Expires.After(at):
		return fault.Invalidf("expires_at", "invalid_value", "expires_at must lie in the future.")
	case len(k.Models) > MaxKeyModels:
		return fault.Invalidf("models", "invalid_value", "models may have %d entries.", MaxKeyModels)
	case len(k.Networks) > MaxKeyNetworks:
		return fault.Invalidf("networks", "invalid_value", "networks may have %d entries.", MaxKeyNetworks)
	}
	for _, m := range k.Models {
		if badPattern(m) {
			return fault.Invalidf("models", "invalid_value", "A model of a key is its name, agent/model, or the beginning of one and a *.")
		}
	}
	return nil
}

// Good tells whether the key may be used at the moment at. fault.Unauthenticated.
func (k *APIKey) Good(at time.Time) error {
	switch {
	case !k.Revoked.IsZero():
		return badKey("This API key has been revoked.")
	case !k.Expires.IsZero() && !at.Before(k.Expires):
		return badKey("This API key has expired.")
	default:
		return nil
	}
}

// AllowsModel tells whether any of a model's names may be asked for.
func (k *APIKey) AllowsModel(names ...string) bool {
	if len(k.Models) == 0 {
		return true
	}
	return slices.ContainsFunc(k.Models, func(pattern string) bool { return matches(pattern, names) })
}

// AllowsFrom tells whether the key may be used from an address.
func (k *APIKey) AllowsFrom(addr netip.Addr) bool {
	if len(k.Networks) == 0 {
		return true
	}
	for _, n := range k.Networks {
		if n.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// PepperMark is how many bytes tell one pepper from another.
const PepperMark = 4

// Pepper is the server's own part of the keyed hashes: whoever has the storage
// and not the pepper can check no guess.
type Pepper []byte

// Hash is what is kept of a secret.
func (p Pepper) Hash(secret string) [sha256.Size]byte {
	return [sha256.Size]byte(p.sum("agentapi key\x00" + secret))
}

// Mark tells the pepper from others, and nothing else of it.
func (p Pepper) Mark() [PepperMark]byte { return [PepperMark]byte(p.sum("agentapi pepper")) }

// Seal is a mark on a text that is kept where others may write, which only servers
// of the same pepper can make.
func (p Pepper) Seal(text []byte) []byte { return p.sum("agentapi seal\x00" + string(text)) }

// Box is what only servers of the same pepper can open, for texts that are kept where
// others may read.
func (p Pepper) Box() cipher.AEAD {
	block, err := aes.NewCipher(p.sum("agentapi box"))
	if err != nil {
		panic(err) // the key has the length of one
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return box
}

func (p Pepper) sum(text string) []byte {
	mac := hmac.New(sha256.New, p)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// The shape of a credential: what scanners for secrets find it by, its id, its
// secret, and a checksum, by which one that was cut or mistyped is known without
// asking anybody.
const (
	keyPrefix   = "aak_"
	secretChars = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	secretLen   = 32 // 190 bits
	sumLen      = 6
)

// NewSecret spells random bytes as a secret; each byte is used modulo what is
// left of 248, so that no character is likelier than another. random must give
// fresh bytes at each call.
func NewSecret(random func([]byte)) string {
	var out strings.Builder
	var b [64]byte
	for out.Len() < secretLen {
		random(b[:])
		for _, c := range b {
			if int(c) < 4*len(secretChars) && out.Len() < secretLen {
				out.WriteByte(secretChars[int(c)%len(secretChars)])
			}
		}
	}
	return out.String()
}

// Credential spells a key as its owner presents it.
func Credential(key KeyID, secret string) string {
	text := keyPrefix + strings.TrimPrefix(key.String(), "key_") + "_" + secret
	return text + checksum(text)
}

// ParseCredential reads a credential. is is false for one that is no API key of
// this product's; fault.Unauthenticated: it was one, and is not whole.
func ParseCredential(text string) (key KeyID, secret string, is bool, err error) {
	rest, is := strings.CutPrefix(text, keyPrefix)
	if !is {
		return key, "", false, nil
	}
	name, tail, ok := strings.Cut(rest, "_")
	if !ok || len(tail) != secretLen+sumLen || checksum(text[:len(text)-sumLen]) != tail[secretLen:] {
		return key, "", true, badKey("The API key is not whole: it was cut or mistyped.")
	}
	if key, err = ParseKeyID("key_" + name); err != nil {
		return key, "", true, badKey("The API key is not whole: it was cut or mistyped.")
	}
	return key, tail[:secretLen], true, nil
}

// HintOf is what is shown of a credential when it is not shown any more.
func HintOf(credential string) string {
	return credential[:len(keyPrefix)+8] + "…" + credential[len(credential)-4:]
}

func checksum(text string) string {
	n := uint64(crc32.ChecksumIEEE([]byte(text)))
	var out [sumLen]byte
	for i := range out {
		out[sumLen-1-i] = secretChars[n%uint64(len(secretChars))]
		n /= uint64(len(secretChars))
	}
	return string(out[:])
}

func badKey(message string) error {
	return fault.New(fault.Unauthenticated, "%s", message).WithCode("invalid_api_key")
}

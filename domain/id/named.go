package id

import "crypto/sha256"

// Named derives an id from a name, always the same one: a UUIDv8 (RFC 9562,
// section 5.8) of the SHA-256 of prefix and name. It serves objects that others
// name, such as an identity provider's organisation.
func Named[K Kind](name string) ID[K] {
	var (
		u ID[K]
		k K
	)
	sum := sha256.Sum256([]byte(k.Prefix() + "\x00" + name))
	copy(u[:], sum[:16])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

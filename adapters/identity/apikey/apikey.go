// Package apikey is an identity of the keys that callers make here for their
// programs.
package apikey

import (
	"context"
	"crypto/subtle"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what an Identity works with.
type Params struct {
	Directory ports.Directory
	Pepper    tenancy.Pepper
	Now       func() time.Time
}

// Options configures the identity. There is nothing to configure: the pepper is the
// server's, since keys are made elsewhere.
type Options struct{}

// Identity is a ports.Authenticator of API keys. It is told by Use what it works
// with before it is asked anything.
type Identity struct{ Params }

var _ ports.Authenticator = (*Identity)(nil)

// Use tells the identity what it works with.
func (i *Identity) Use(p Params) { i.Params = p }

// touched is how old a key's last use may look, so that not every request writes.
const touched = time.Minute

// Authenticate finds the key of a credential. A key that was never there, one that
// was revoked and a wrong secret look alike to who has no secret.
func (i *Identity) Authenticate(ctx context.Context, bearer string) (who tenancy.Identity, ok bool, err error) {
	id, secret, ok, err := tenancy.ParseCredential(bearer)
	if !ok || err != nil {
		return who, false, err
	}
	k, err := i.Directory.FindKey(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return who, false, incorrect()
	}
	if err != nil {
		return who, false, err
	}
	if k.Pepper != i.Pepper.Mark() {
		return who, false, fault.New(fault.Unavailable, "The API key cannot be checked by this server.").WithCode("auth_unavailable").
			WithHint("It was made under another pepper: servers of one database need the same AGENTAPI_KEY_PEPPER.")
	}
	if hash := i.Pepper.Hash(secret); subtle.ConstantTimeCompare(hash[:], k.Hash[:]) != 1 {
		return who, false, incorrect()
	}
	now := i.Now()
	if err := k.Good(now); err != nil {
		return who, false, err
	}
	if now.Sub(k.LastUsed) >= touched {
		_ = i.Directory.TouchKey(ctx, tenancy.RealmOf(k.Org), k.ID, now) // it is for show; the key is good all the same
	}
	return tenancy.Identity{Issuer: "apikey", Subject: k.ID.String(), Method: "apikey", Expires: k.Expires, Key: k}, true, nil
}

func incorrect() error {
	return fault.New(fault.Unauthenticated, "Incorrect API key provided.").WithCode("invalid_api_key")
}

package ports

import (
	"context"

	"agentapi/domain/tenancy"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Authenticator tells who presents a bearer credential.
//
// fault.Unauthenticated: the credential is bad. fault.Unavailable: it could not
// be checked; the two are never confused. ok is false when the credential is
// not of this authenticator's kind, and the next one is asked.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (who tenancy.Identity, ok bool, err error)
}

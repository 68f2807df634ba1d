package completion

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// remember is how long an attempt may be repeated.
const remember = 10 * time.Minute

// key is the request's key: the client's own or, where an SDK says which attempt
// at a request it makes, one made for the first attempt, which the later ones
// find. So two first attempts are never taken for one, however alike they are.
// While the cache is away such requests have no key.
func (s *Service) key(ctx context.Context, cmd *Command) string {
	if s.Retries == nil || cmd.Key != "" || cmd.Attempt == 0 {
		return cmd.Key
	}
	in, asks := cmd.Caller.Scope(), cmd.fingerprint()
	sum := sha256.Sum256([]byte(in.Org().String() + in.User().String() + cmd.Route + string(asks[:])))
	place := "retries:" + hex.EncodeToString(sum[:])
	if cmd.Attempt > 1 {
		if made, ok, err := s.Retries.Get(ctx, place); err == nil && ok {
			return string(made)
		}
	}
	made := "sdk:" + cmd.RequestID
	if s.Retries.Set(ctx, place, []byte(made), remember) != nil {
		return ""
	}
	return made
}

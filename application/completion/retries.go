package completion

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// remember is how long an attempt may be repeated.
const remember = 10 * time.Minute

// ambiguous stands where two first attempts are alike: whose a retry is, nobody
// can tell then, and it is run.
const ambiguous = "two"

// key is the request's key: the client's own or, where an SDK says which attempt
// at a request it makes, one made for the first attempt, which the later ones
// find. Two first attempts are never taken for one, however alike they are, and
// their retries never get each other's answer. While the cache is away such
// requests have no key.
func (s *Service) key(ctx context.Context, cmd *Command) string {
	if s.Retries == nil || cmd.Key != "" || cmd.Attempt == 0 {
		return cmd.Key
	}
	in, asks := cmd.Caller.Scope(), cmd.fingerprint()
	sum := sha256.Sum256([]byte(in.Org().String() + in.User().String() + cmd.Route + string(asks[:])))
	place, made := "retries:"+hex.EncodeToString(sum[:]), "sdk:"+cmd.RequestID
	added, err := s.Retries.Add(ctx, place, []byte(made), remember)
	switch {
	case err != nil:
		return ""
	case added:
		return made
	case cmd.Attempt > 1:
		if first, ok, err := s.Retries.Get(ctx, place); err == nil && ok && string(first) != ambiguous {
			return string(first)
		}
	default:
		// Where this fails, the retries of both get the first one's answer for a while.
		_ = s.Retries.Set(ctx, place, []byte(ambiguous), remember)
	}
	return ""
}

package fault

// Kind is the class of a failure. The set is closed: the table that turns kinds
// into HTTP answers is tested to have a row for each of them.
type Kind uint8

// The kinds, from the caller's mistakes to ours.
const (
	Internal        Kind = iota // a defect of this program; the zero Kind, so that nothing unknown is blamed on the caller
	Invalid                     // the request is wrong; Param names the place
	TooLong                     // the prompt does not fit the model's context
	Unsupported                 // the request is well-formed, but the model or agent cannot honour it
	TooLarge                    // the body is larger than the server takes
	Unauthenticated             // no credential, or a bad one
	Forbidden                   // a good credential without the right
	NotFound                    // absent, or another tenant's
	Conflict                    // it collides with what is there or running
	KeyReuse                    // an idempotency key came back with another request
	Precondition                // an ETag did not match, or was due and absent
	Gone                        // it was there, and its time is over
	RateLimited                 // too much in too short a time; later is fine
	QuotaExhausted              // spent; waiting does not help
	Canceled                    // the caller left
	Timeout                     // the time was up
	Upstream                    // an agent or provider failed or spoke nonsense
	Unavailable                 // a part that is needed cannot be reached now
	kinds
)

var kindNames = [kinds]string{
	"internal", "invalid", "too_long", "unsupported", "too_large", "unauthenticated", "forbidden", "not_found",
	"conflict", "key_reuse", "precondition", "gone", "rate_limited", "quota_exhausted", "canceled", "timeout",
	"upstream", "unavailable",
}

// String gives the kind's name as it stands in logs.
func (k Kind) String() string {
	if k >= kinds {
		return "unknown"
	}
	return kindNames[k]
}

// Kinds lists every kind, for tests of tables that must be total.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Retryable tells whether the same request may succeed elsewhere or later: the
// rule of failover. A caller's mistake fails everywhere, so it is never retried.
func (k Kind) Retryable() bool {
	switch k {
	case Unavailable, Timeout, Upstream, RateLimited:
		return true
	default:
		return false
	}
}

package ports

import (
	"context"
	"time"

	"agentapi/domain/retention"
	"agentapi/domain/tenancy"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Upkeep removes what need not or must not be kept. Each call is one short
// transaction of its own that touches a bounded number of rows; it is called
// again until there is nothing left.
type Upkeep interface {
	// Expire removes what the rule lets go, in all tenants that it means: at most
	// most sessions and some thousands of their turns, most usage records, or most
	// changes of agents' health, which are no tenant's. A
	// session goes when its last turn has. It returns how many sessions or records
	// went, and whether there may be more to remove.
	Expire(ctx context.Context, r retention.Rule, most int) (gone int, more bool, err error)
	// Expiring counts what Expire would remove in all.
	Expiring(ctx context.Context, r retention.Rule) (int, error)
	// Rotate has the storage make ready for the usage of the time that follows at,
	// and drop at a stroke what usage is from before the other moment (zero: none),
	// as far as it keeps usage by its time. It returns how many records went; Expire
	// removes the rest.
	Rotate(ctx context.Context, at, before time.Time) (int, error)
	// Erase removes the scope's user: at most most sessions, some thousands of turns,
	// most idempotency keys, and books at most most usage records, stripped of what
	// they were about, under the pseudonym; the membership goes with its API keys,
	// with the invitations to an address of the user's, as far as they are known,
	// and with the pseudonyms by which the audit log knows who was invited; other
	// invitations of the user's are the pseudonym's; jobs, but for those that are not
	// done, are about their own. So does the user go, where no
	// other organisation has one. It returns how many rows
	// it touched; none: nothing of the user is left.
	Erase(ctx context.Context, in tenancy.Scope, pseudonym tenancy.UserID, most int) (int, error)
	// Dissolve removes what an organisation has, but for its members, who are Erase's:
	// at most most sessions, some thousands of turns, and most each of usage records,
	// idempotency keys, invitations, groups, jobs that have ended, unless they erased an
	// organisation, and people whom the audit log knows by pseudonyms. Users whose tokens
	// act there act nowhere then; who has no role on the platform and is no member
	// anywhere goes. The organisation itself and the entries of the audit log stay. It
	// returns how many rows it touched; none: nothing but members is left. A zero Realm
	// is fault.Forbidden.
	Dissolve(ctx context.Context, in tenancy.Realm, most int) (int, error)
	// Lease gives the lease of that name to holder for a time, or renews it; a time
	// below zero gives it back. false: another holds it. at is now, where the storage has no clock of its own.
	Lease(ctx context.Context, name, holder string, at time.Time, keep time.Duration) (bool, error)
}

package porttest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// Storage tests the contract of ports.Storage. open gives an empty storage, and
// takes it down again with t.Cleanup.
func Storage(t *testing.T, open func(t *testing.T) ports.Storage) {
	for name, test := range map[string]func(t *testing.T, s ports.Storage){
		"a session comes back as it was stored":                 sessionRoundTrip,
		"a session can begin with turns":                        sessionBeginsWithTurns,
		"a session knows who answered last":                     sessionKnowsWhoAnsweredLast,
		"every kind of message comes back as it was stored":     turnRoundTrip,
		"times are kept in UTC to the microsecond":              times,
		"what is returned is the caller's own":                  returnsCopies,
		"a session's id and key are taken once":                 uniqueness,
		"an update changes what may change, and nothing else":   updates,
		"an update whose change fails stores nothing":           failedUpdate,
		"metadata, archive and version are kept":                edited,
		"a list holds what its filter chooses":                  filtered,
		"turns are added after the last one only":               appends,
		"a deleted session is gone with its turns":              deletes,
		"another's sessions do not exist, whatever is asked":    foreign,
		"nobody's scope finds nothing and stores nothing":       nobody,
		"pages hold when elements come in between":              sessionPages,
		"a walk over pages meets everything once":               walks,
		"turns are paged by their ids":                          turnPages,
		"a transaction that fails leaves nothing":               rollback,
		"a transaction that panics leaves nothing":              panics,
		"the storage refuses itself inside its own transaction": nested,
		"a context that has ended is said to have":              contexts,
		"usage is booked once, and summed for each user":        usageTotals,
		"usage records are given in order, a few at a time":     usageRecords,
		"an idempotency key is claimed, completed and replayed": idempotencyLife,
		"what a claim meets decides what becomes of it":         idempotencyMeets,
		"a key belongs to its user":                             idempotencyForeign,
		"a key given back can be claimed again":                 idempotencyRelease,
		"a claim lapses, and its late owner is refused":         idempotencyLapse,
		"results are forgotten after their time":                idempotencyPrune,
		"what is old goes, whose it is by rule":                 expires,
		"sessions of many turns go in parts":                    expiresInParts,
		"usage is reported by time and what is told apart":      usageReports,
		"budgets are kept, each for its own":                    budgetsAreKept,
		"budgets count what usage has cost":                     budgetsCountUsage,
		"money is set aside while there is room":                budgetsReserve,
		"budgets go with whom they bound":                       budgetsGoWithTheirOwn,
		"a report that would be too long is refused":            usageReportsAreBounded,
		"usage that nobody keeps goes by its time":              rotates,
		"of a user who is erased nothing is left":               erases,
		"an organisation is dissolved, and no other":            dissolves,
		"agents are mirrored, and never removed":                agentsMirror,
		"an agent's switch stays as it was turned":              switches,
		"how agents were is kept until it is old":               healthChanges,
		"a realm lists the sessions of all its users":           realmSessions,
		"how much there is can be counted, up to a bound":       counted,
		"who is enrolled is known, and stays as they are":       standings,
		"organisations, users and members change":               directoryUpdates,
		"organisations, members and keys are given limits":      limitsAreGiven,
		"organisations, users and members are listed":           directoryLists,
		"API keys are kept, found and go with their owner":      apiKeys,
		"another realm's members and keys do not exist":         realms,
		"directories are searched":                              directoryFilters,
		"an address has one pending invitation":                 invitations,
		"another realm's invitations do not exist":              invitationsElsewhere,
		"of an erased user no invitation is left":               erasesInvitations,
		"people are on the roster as their membership is":       rosterPeople,
		"groups have people, who go with their membership":      rosterGroups,
		"an organisation's active owners are known":             rosterOwners,
		"another realm's roster does not exist":                 rosterRealms,
		"jobs are kept, listed and changed":                     jobsAreKept,
		"jobs that nobody does are told, and old ones go":       jobsAreToDo,
		"a lease has one holder":                                leases,
		"the audit log is one chain":                            auditChain,
		"an audit entry is kept with what it records":           auditFollowsItsTransaction,
		"the audit log is paged and filtered":                   auditPages,
		"checkpoints are kept in order":                         auditCheckpoints,
		"the audit log is retired from its beginning":           auditRetires,
		"of an erased subject the log keeps a pseudonym":        auditSubjects,
		"a storage that works is ready":                         ready,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// StorageConcurrency tests the promises that only show under many writers.
func StorageConcurrency(t *testing.T, open func(t *testing.T) ports.Storage) {
	for name, test := range map[string]func(t *testing.T, s ports.Storage){
		"sixteen writers leave no gap between turns":       gapless,
		"no update is lost":                                noLostUpdate,
		"of many servers one does a job":                   aJobHasOneHolder,
		"of many claims of one key one wins":               oneWinner,
		"transactions do not see each other's halves":      isolated,
		"a record that many book at once counts only once": bookedOnce,
		"of all platform admins one stays":                 lastAdmin,
		"of many invitations to one address one is made":   oneInvitation,
		"many who append leave one audit chain":            oneChain,
		"budgets hold and add up under many":               budgetsHoldConcurrently,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func ready(t *testing.T, s ports.Storage) { must(t, s.Ready(t.Context())) }

// ask calls one method of the repositories.
type ask func(ctx context.Context, r ports.Repositories) error

// asks calls every method that takes a scope, as somebody who acts in the scope
// in and names the session v. It fails where a port has a method that is not
// called here, so that a new one is not forgotten.
func asks(t *testing.T, in tenancy.Scope, v *session.Session) map[string]ask {
	t.Helper()
	c := claim("asked", 1, "o", start)
	all := map[string]ask{
		"Sessions.Create": func(ctx context.Context, r ports.Repositories) error {
			return r.Sessions().Create(ctx, in, newSession(in, ""))
		},
		"Sessions.Get": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Sessions().Get(ctx, in, v.ID)
			return err
		},
		"Sessions.ByKey": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Sessions().ByKey(ctx, in, v.Key)
			return err
		},
		"Sessions.Update": func(ctx context.Context, r ports.Repositories) error {
			return r.Sessions().Update(ctx, in, v.ID, func(*session.Session) error { return nil })
		},
		"Sessions.Append": func(ctx context.Context, r ports.Repositories) error {
			return r.Sessions().Append(ctx, in, v.ID, 0, newTurn("x"))
		},
		"Sessions.History": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Sessions().History(ctx, in, v.ID)
			return err
		},
		"Sessions.Turns": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Sessions().Turns(ctx, in, v.ID, page.Query{Limit: 1})
			return err
		},
		"Sessions.List": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Sessions().List(ctx, in, session.Filter{}, page.Query{Limit: 1})
			return err
		},
		"Sessions.Find": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Sessions().Find(ctx, realmOf(in), v.ID)
			return err
		},
		"Sessions.ListAll": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Sessions().ListAll(ctx, realmOf(in), session.Filter{}, page.Query{Limit: 1})
			return err
		},
		"Sessions.Delete": func(ctx context.Context, r ports.Repositories) error { return r.Sessions().Delete(ctx, in, v.ID) },
		"Usage.Record": func(ctx context.Context, r ports.Repositories) error {
			return r.Usage().Record(ctx, in, usage.Record{ID: usage.NewID(start, entropy()), At: start})
		},
		"Usage.Records": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Usage().Records(ctx, in, usage.ID{}, 1)
			return err
		},
		"Usage.Report": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Usage().Report(ctx, tenancy.RealmOf(in.Org()), thatDay)
			return err
		},
		"Usage.ReportAll": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Usage().ReportAll(ctx, thatDay)
			return err
		},
		"Usage.Totals": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Usage().Totals(ctx, in)
			return err
		},
		"Idempotency.Claim": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Idempotency().Claim(ctx, in, c)
			return err
		},
		"Idempotency.Complete": func(ctx context.Context, r ports.Repositories) error {
			return r.Idempotency().Complete(ctx, in, c, idempotency.Result{})
		},
		"Idempotency.Release": func(ctx context.Context, r ports.Repositories) error { return r.Idempotency().Release(ctx, in, c) },
		"Audit.Subject": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Audit().Subject(ctx, in, audit.NewSubject(start, [42]byte{1}))
			return err
		},
		"Audit.Values": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Audit().Values(ctx, in)
			return err
		},
		"Audit.Known": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Audit().Known(ctx, tenancy.RealmOf(in.Org()), []tenancy.UserID{in.User()}, nil)
			return err
		},
		"Audit.Forget": func(ctx context.Context, r ports.Repositories) error {
			_, err := r.Audit().Forget(ctx, in)
			return err
		},
	}
	for _, port := range []reflect.Type{reflect.TypeFor[ports.Sessions](), reflect.TypeFor[ports.Usage](), reflect.TypeFor[ports.Idempotency](), reflect.TypeFor[ports.Audit]()} {
		for m := range port.Methods() {
			if name := port.Name() + "." + m.Name; all[name] == nil && name != "Idempotency.Prune" && name != "Audit.Append" { // which have no scope
				t.Errorf("nothing here asks for %s", name)
			}
		}
	}
	return all
}

func foreign(t *testing.T, s ports.Storage) {
	ann := someone(t, "a", "ann")
	v := create(t, s, ann, "key")
	must(t, s.Sessions().Append(t.Context(), ann, v.ID, 0, newTurn("x")))
	want, err := s.Sessions().Get(t.Context(), ann, v.ID)
	must(t, err)
	for who, in := range map[string]tenancy.Scope{"another user": someone(t, "a", "bob"), "another organisation": someone(t, "b", "ann")} {
		list, err := s.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: 10})
		must(t, err)
		if len(list.Items) != 0 {
			t.Errorf("%s lists it", who)
		}
		for name, ask := range asks(t, in, v) {
			if !namesSession(name) {
				continue
			}
			if f := fault.As(ask(t.Context(), s)); f == nil || f.Kind != fault.NotFound || f.Code != "session_not_found" {
				t.Errorf("%s by %s: got %v", name, who, f)
			}
		}
	}
	got, err := s.Sessions().Get(t.Context(), ann, v.ID)
	must(t, err)
	same(t, got, want)
}

// namesSession tells the methods that ask for a session which is there.
func namesSession(method string) bool {
	switch method {
	case "Sessions.Get", "Sessions.ByKey", "Sessions.Update", "Sessions.Append", "Sessions.History", "Sessions.Turns", "Sessions.Delete":
		return true
	default:
		return false
	}
}

func nobody(t *testing.T, s ports.Storage) {
	v := create(t, s, someone(t, "a", "ann"), "key")
	var none tenancy.Scope
	for name, ask := range asks(t, none, v) {
		err := ask(t.Context(), s)
		switch name {
		case "Sessions.Get", "Sessions.ByKey", "Sessions.History", "Sessions.Turns", "Sessions.Find":
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: got %v", name, err)
			}
		case "Sessions.List", "Sessions.ListAll", "Usage.Records", "Usage.Report", "Usage.ReportAll", "Usage.Totals", "Audit.Values", "Audit.Known":
			must(t, err)
		default: // it writes
			if !fault.Is(err, fault.Forbidden) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	list, err := s.Sessions().List(t.Context(), none, session.Filter{}, page.Query{Limit: 10})
	must(t, err)
	sum, err := s.Usage().Totals(t.Context(), none)
	must(t, err)
	if len(list.Items) != 0 || sum != (usage.Totals{}) {
		t.Error("nobody has something")
	}
}

func contexts(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "key")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, kind := range map[context.Context]fault.Kind{canceled: fault.Canceled, late: fault.Timeout} {
		for name, ask := range asks(t, in, v) {
			if err := ask(ctx, s); !fault.Is(err, kind) {
				t.Errorf("%s: got %v, want %s", name, err, kind)
			}
		}
		_, err := s.Idempotency().Prune(ctx, start)
		is(t, err, kind, "")
		is(t, s.Ready(ctx), kind, "")
		is(t, s.Atomically(ctx, func(context.Context, ports.Repositories) error { return nil }), kind, "")
	}
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, v)
}

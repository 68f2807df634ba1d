package tenancy

import (
	"strings"
	"testing"
	"time"

	"agentapi/domain/fault"
)

func TestAnAddressIsComparedByItsLettersFromAToZ(t *testing.T) {
	if FoldEmail("Ann.B@EXAMPLE.com") != FoldEmail("ann.b@example.COM") {
		t.Error("upper and lower case differ")
	}
	for _, other := range []string{"\u212Aay@example.com", "k\u0430y@example.com", "KAY@example.co", "kay@ex\u00E4mple.com"} { // the Kelvin sign, a Cyrillic a
		if FoldEmail(other) == FoldEmail("kay@example.com") {
			t.Errorf("%s is taken for another", other)
		}
	}
	for text, good := range map[string]bool{
		"a@b": true, "Ünï.x+y@ex-ample.com": true, "": false, "a": false, "@b": false, "a@": false, "a@b@c": false, "a b@c": false, "a@b\n": false, "a@\x00": false, "a@\xff": false,
		strings.Repeat("a", 253) + "@b": false,
	} {
		if err := CheckEmail("email", text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAnInvitationGoesOneWay(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	fresh := func() *Invitation {
		return &Invitation{Email: "a@b", Role: OrgMember, Status: Pending, Expires: at.Add(time.Hour)}
	}
	accept := func(i *Invitation, at time.Time) error { return i.Accept(UserID{1}, at) }
	revoke := func(i *Invitation, at time.Time) error { return i.Revoke(at) }
	for name, x := range map[string]struct {
		steps []func(*Invitation, time.Time) error
		after time.Duration
		want  InvitationStatus
		fails bool // the last step
	}{
		"nothing":                {nil, 0, Pending, false},
		"nothing, too long":      {nil, time.Hour, Expired, false},
		"accepted":               {[]func(*Invitation, time.Time) error{accept}, time.Hour - 1, Accepted, false},
		"accepted too late":      {[]func(*Invitation, time.Time) error{accept}, time.Hour, Expired, true},
		"accepted twice":         {[]func(*Invitation, time.Time) error{accept, accept}, 0, Accepted, true},
		"accepted and revoked":   {[]func(*Invitation, time.Time) error{accept, revoke}, 0, Accepted, true},
		"revoked and accepted":   {[]func(*Invitation, time.Time) error{revoke, accept}, 0, Revoked, true},
		"revoked twice":          {[]func(*Invitation, time.Time) error{revoke, revoke}, 0, Revoked, false},
		"revoked after its time": {[]func(*Invitation, time.Time) error{revoke}, 2 * time.Hour, Revoked, false},
	} {
		i, now := fresh(), at.Add(x.after)
		var err error
		for _, step := range x.steps {
			err = step(i, now)
		}
		if got := i.StatusAt(now); got != x.want || fault.Is(err, fault.Conflict) != x.fails {
			t.Errorf("%s: it is %s, %v", name, got, err)
		}
	}
	for name, bad := range map[string]func(*Invitation){
		"no address": func(i *Invitation) { i.Email = "" }, "a service": func(i *Invitation) { i.Role = Service }, "a platform's role": func(i *Invitation) { i.Role = PlatformAuditor },
		"over": func(i *Invitation) { i.Expires = at }, "too long": func(i *Invitation) { i.Expires = at.Add(MaxInvitationLife + 1) },
	} {
		i := fresh()
		if bad(i); !fault.Is(i.Check(at), fault.Invalid) {
			t.Errorf("%s is taken", name)
		}
	}
}

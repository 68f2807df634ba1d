package tenancy

import (
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"
	"time"

	"agentapi/domain/fault"
)

func fresh() string { return NewSecret(func(b []byte) { rand.Read(b) }) }

func TestACredentialIsReadAsItWasWritten(t *testing.T) {
	for range 1000 {
		var random [10]byte
		rand.Read(random[:])
		id, secret := NewKeyID(time.Now(), random), fresh()
		text := Credential(id, secret)
		gotID, gotSecret, is, err := ParseCredential(text)
		if gotID != id || gotSecret != secret || !is || err != nil {
			t.Fatalf("%s: got %v, %q, %v, %v", text, gotID, gotSecret, is, err)
		}
		if hint := HintOf(text); strings.Contains(hint, secret[:4]) || !strings.HasPrefix(hint, "aak_") {
			t.Fatalf("the hint %s gives the secret away", hint)
		}
		// Any one character that is changed or lost shows without asking anybody.
		at := len("aak_") + int(random[0])%(len(text)-len("aak_"))
		for _, bad := range []string{text[:at] + text[at+1:], text[:at] + flip(text[at]) + text[at+1:]} {
			if _, _, is, err := ParseCredential(bad); !is || !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("%s was taken for %s", bad, text)
			}
		}
	}
	if _, _, is, err := ParseCredential("sk-something"); is || err != nil {
		t.Errorf("another's key: %v, %v", is, err)
	}
}

func flip(c byte) string {
	if c == 'a' {
		return "b"
	}
	return "a"
}

func TestASecretsCharactersAreEquallyLikely(t *testing.T) {
	const secrets = 20_000
	seen := map[rune]int{}
	for range secrets {
		for _, c := range fresh() {
			seen[c]++
		}
	}
	want := secrets * secretLen / len(secretChars)
	for c, n := range seen {
		if n < want*9/10 || n > want*11/10 {
			t.Errorf("%c came %d times, not about %d", c, n, want)
		}
	}
	if len(seen) != len(secretChars) {
		t.Errorf("%d characters are used", len(seen))
	}
}

func TestAHashNeedsThePepper(t *testing.T) {
	one, other, secret := Pepper("one"), Pepper("other"), fresh()
	if one.Hash(secret) == other.Hash(secret) || one.Mark() == other.Mark() || one.Hash(secret) != one.Hash(secret) {
		t.Error("the hash says nothing of the pepper")
	}
}

func TestAKeyIsForWhatItNames(t *testing.T) {
	k := &APIKey{Models: []string{"gpt-4o", "droid/*"}, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}
	for name, want := range map[string]bool{"gpt-4o": true, "gpt-4o-mini": false, "droid/x": true, "droid": false, "": false} {
		if k.AllowsModel(name) != want {
			t.Errorf("the model %q: %v", name, !want)
		}
	}
	if !k.AllowsModel("gpt-5", "droid/gpt-5") || !(&APIKey{}).AllowsModel("x") {
		t.Error("one of a model's names is enough, and no list allows all")
	}
	for addr, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "2001:db8::1": true, "::1": false} {
		if k.AllowsFrom(netip.MustParseAddr(addr)) != want {
			t.Errorf("from %s: %v", addr, !want)
		}
	}
	if k.AllowsFrom(netip.Addr{}) || !(&APIKey{}).AllowsFrom(netip.Addr{}) {
		t.Error("from nowhere")
	}
}

func TestAKeyIsCheckedBeforeItIsMade(t *testing.T) {
	now := time.Now()
	for name, k := range map[string]APIKey{
		"without a name":       {},
		"with a long name":     {Name: strings.Repeat("x", 121)},
		"with a strange name":  {Name: "a\x00b"},
		"expired":              {Name: "k", Expires: now},
		"with an empty model":  {Name: "k", Models: []string{""}},
		"with a star inside":   {Name: "k", Models: []string{"a*b"}},
		"with too many models": {Name: "k", Models: make([]string, MaxKeyModels+1)},
	} {
		if err := k.Check(now); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := (&APIKey{Name: "k", Models: []string{"a*"}, Expires: now.Add(1)}).Check(now); err != nil {
		t.Error(err)
	}
}

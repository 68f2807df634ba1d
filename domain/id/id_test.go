package id

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"
)

type thing struct{}

func (thing) Prefix() string { return "thing" }

func random() (b [10]byte) {
	rand.Read(b[:])
	return b
}

func TestBothSpellingsComeBackAsTheSameID(t *testing.T) {
	for range 1000 {
		u := New[thing](time.Now(), random())
		for _, s := range []string{u.String(), u.UUID()} {
			if got, err := Parse[thing](s); err != nil || got != u {
				t.Fatalf("%s: got %v, %v", s, got, err)
			}
		}
	}
}

func TestTheTextFormIsTheOneThatCrockfordGives(t *testing.T) {
	u, err := Parse[thing]("0192f000-0000-7000-8000-00000000000b")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := u.String(), "thing_01jbr00000e00800000000000b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if u.UUID() != "0192f000-0000-7000-8000-00000000000b" {
		t.Errorf("got %s", u.UUID())
	}
}

func TestIDsSortByTime(t *testing.T) {
	start := time.UnixMilli(1_700_000_000_000)
	var ids []string
	for i := range 100 {
		ids = append(ids, New[thing](start.Add(time.Duration(i)*time.Millisecond), random()).String())
	}
	if !slices.IsSorted(ids) {
		t.Error("ids do not sort by the moment that they were made for")
	}
	if at := New[thing](start, random()).Time(); !at.Equal(start) {
		t.Errorf("the id says %v", at)
	}
}

func TestWhatIsNoIDIsRefused(t *testing.T) {
	good := New[thing](time.Now(), random())
	for _, s := range []string{
		"", "thing_", "thing_0", "other_" + good.String()[6:], good.String() + "0", "{" + good.UUID() + "}",
		"0192F000-0000-7000-8000-00000000000B", "00000000-0000-0000-0000-000000000000", "thing_8zzzzzzzzzzzzzzzzzzzzzzzzz",
		"thing_" + "0000000000000000000000000u", "0192f000x0000-7000-8000-00000000000b", "0192f000-0000-7000-8000-00000000000g",
	} {
		if u, err := Parse[thing](s); err == nil {
			t.Errorf("%q was taken as %v", s, u)
		}
	}
}

func TestANameAlwaysGivesTheSameID(t *testing.T) {
	if Named[thing]("a") != Named[thing]("a") || Named[thing]("a") == Named[thing]("b") {
		t.Error("a name must give one id, and another name another")
	}
}

package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

func fields(change func(*Fields)) Fields {
	f := Fields{
		ID: NewID(start, [10]byte{1}), Org: org(1), Actor: System, Action: ServerStarted, Outcome: OK, Instance: "i", At: start,
		Details: map[string]string{},
	}
	change(&f)
	return f
}

func TestAnEntryThatMustNotStandInTheLogIsRefused(t *testing.T) {
	secrets := []string{
		"sk-proj-abcdefghijklmnopqrstuvwxyz", "sk-agentapi-dev-fdyjnm4j2kchjef4", "Bearer abcdefghijklmnopqrs", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.x",
		"postgres://user:pw@host/db", "AKIAIOSFODNN7EXAMPLE", "-----BEGIN PRIVATE KEY-----", "ghp_abcdefghijklmnopqrst", "x password=hunter2hunter2",
	}
	for _, sign := range signs {
		secrets = append(secrets, sign+strings.Repeat("x", secretLength))
	}
	for _, s := range secrets {
		for where, f := range map[string]Fields{
			"target": fields(func(f *Fields) { f.Target = s }), "actor": fields(func(f *Fields) { f.Actor = s }),
			"detail": fields(func(f *Fields) { f.Details["x"] = "see " + s }), "request": fields(func(f *Fields) { f.Request = s }),
		} {
			if _, err := New(f); !fault.Is(err, fault.Internal) || strings.Contains(err.Error(), s) {
				t.Errorf("%q as %s: %v", s, where, err)
			}
		}
		if got := Clip(s); got != "(withheld)" {
			t.Errorf("%q is clipped to %q", s, got)
		}
	}
	for what, f := range map[string]Fields{
		"a long text":        fields(func(f *Fields) { f.Target = strings.Repeat("x", MaxText+1) }),
		"a line break":       fields(func(f *Fields) { f.Details["x"] = "a\nb" }),
		"what is no text":    fields(func(f *Fields) { f.Target = "\xff" }),
		"a strange name":     fields(func(f *Fields) { f.Details["X y"] = "a" }),
		"no id":              fields(func(f *Fields) { f.ID = ID{} }),
		"an unknown action":  fields(func(f *Fields) { f.Action = "x" }),
		"an unknown outcome": fields(func(f *Fields) { f.Outcome = "" }),
		"no actor":           fields(func(f *Fields) { f.Actor = "" }),
		"no time":            fields(func(f *Fields) { f.At = time.Time{} }),
		"values of nobody":   fields(func(f *Fields) { f.Personal = map[string]string{"ip": "::1"} }),
		"too many details": fields(func(f *Fields) {
			for i := range MaxDetails + 1 {
				f.Details[fmt.Sprint("a", i)] = ""
			}
		}),
	} {
		if _, err := New(f); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	for _, fine := range []string{"", "demo/echo", "risk-assessment of it", "task-12", "vendor/model:free", "http://127.0.0.1:1/x", "token=short"} {
		if _, err := New(fields(func(f *Fields) { f.Target = fine })); err != nil {
			t.Errorf("%q: %v", fine, err)
		}
	}
}

func TestCanonicalBytesAreRFC8785AndReadBack(t *testing.T) {
	s := NewSubject(start, [42]byte{1, 2, 3})
	e, err := New(fields(func(f *Fields) {
		f.Details["b"], f.Details["a"] = `quo"te \ <>& é 😀`, "1"
		f.Subject, f.Personal, f.Target, f.Request = s, map[string]string{"ip": "192.0.2.1"}, "x", "req_1"
	}))
	if err != nil {
		t.Fatal(err)
	}
	var seal Sealer
	got := seal.Seal(e)
	const want = `{"action":"server.started","actor":"system","at":1767323045678901,"details":{"a":"1","b":"quo\"te \\ <>& é 😀"},` +
		`"id":"019b7ca9-8f2e-7100-8000-000000000000","instance":"i","org":"00000000-0000-7000-8000-000000000001",` +
		`"org_prev":"0000000000000000000000000000000000000000000000000000000000000000","org_seq":1,"outcome":"ok",` +
		`"personal":{"ip":"%s"},"request":"req_1","target":"x","v":1}`
	if string(got.Canon) != fmt.Sprintf(want, s.Commit("192.0.2.1")) {
		t.Errorf("got %s", got.Canon)
	}
	var any map[string]any
	if err := json.Unmarshal(got.Canon, &any); err != nil {
		t.Error(err)
	}
	said, err := Read(got.Canon)
	if err != nil || said.Columns != got.Columns || said.Details["b"] != `quo"te \ <>& é 😀` {
		t.Errorf("%+v, %v", said, err)
	}
	for _, other := range []string{
		strings.Replace(string(got.Canon), ":1}", ": 1}", 1), strings.Replace(string(got.Canon), `"v":1`, `"v":1,"x":2`, 1),
		strings.Replace(string(got.Canon), "é", `\u00e9`, 1), strings.Replace(string(got.Canon), `"v":1`, `"v":2`, 1),
		strings.Replace(string(got.Canon), `"actor":"system"`, `"actor":"x","actor":"system"`, 1), "{}", "",
	} {
		if _, err := Read([]byte(other)); err == nil {
			t.Errorf("taken: %s", other)
		}
	}
}

func TestPersonalValuesStandInTheLogAsCommitmentsOnly(t *testing.T) {
	s := NewSubject(start, [42]byte{20: 9})
	values := map[string]string{"email": "ann@example.com", "ip": "192.0.2.1", "user_agent": "curl/8"}
	e, err := New(fields(func(f *Fields) { f.Subject, f.Personal = s, values }))
	if err != nil {
		t.Fatal(err)
	}
	var seal Sealer
	got := seal.Seal(e)
	for name, clear := range values {
		if bytes.Contains(got.Canon, []byte(clear)) || !bytes.Contains(got.Canon, []byte(s.Commit(clear))) {
			t.Errorf("%s: %s", name, got.Canon)
		}
	}
	if other := NewSubject(start, [42]byte{20: 8}); other.Commit("x") == s.Commit("x") {
		t.Error("another salt gives the same commitment")
	}
	if n := len(e.Values()); n != 3 {
		t.Errorf("%d values", n)
	}
}

func TestACheckpointIsASignedNote(t *testing.T) {
	c := Sign(key, Head{Seq: 7, Hash: [32]byte{1}}, start, [32]byte{2})
	lines := strings.Split(c.Note, "\n")
	if len(lines) != 8 || lines[0] != Origin(key.Public().(ed25519.PublicKey)) || lines[1] != "7" || lines[5] != "" || !strings.HasPrefix(lines[6], "— "+lines[0]+" ") || lines[7] != "" {
		t.Errorf("got %q", lines)
	}
	back, err := ParseCheckpoint(c.Note)
	if err != nil || back != c {
		t.Errorf("%+v, %v", back, err)
	}
	k, err := ParseKey(KeyOf(key).String())
	if err != nil || k.Name != c.Origin {
		t.Fatal(k, err)
	}
	if good, known := back.Signed([]Key{k}); !good || !known {
		t.Error("its own key does not take it")
	}
	if good, known := back.Signed([]Key{KeyOf(otherKey)}); good || known {
		t.Error("another key knows it")
	}
	for i := range len(c.Note) {
		b := []byte(c.Note)
		b[i] ^= 1
		if bad, err := ParseCheckpoint(string(b)); err == nil {
			if good, _ := bad.Signed([]Key{k}); good {
				t.Errorf("byte %d can be changed: %q", i, b)
			}
		}
	}
	two, err := Notes(c.Note + c.Note)
	if err != nil || len(two) != 2 || two[1] != c {
		t.Errorf("%v, %v", two, err)
	}
	if _, err := Notes(c.Note + c.Note[:40]); err == nil {
		t.Error("half a note is taken")
	}
	if _, err := ParseKey(strings.Replace(k.String(), "+", "+0", 1)); err == nil {
		t.Error("a key with another id is taken")
	}
}

// Whatever byte of an entry is another, left out or doubled: both ways of reading it
// say the same.
func TestReadingIsAsDecodingAndEncodingAgain(t *testing.T) {
	s := NewSubject(start, [42]byte{1, 2, 3})
	e, err := New(fields(func(f *Fields) {
		f.Details["b"], f.Details["a"] = `q"\ é`, ""
		f.Subject, f.Personal, f.Target, f.Request = s, map[string]string{"ip": "192.0.2.1"}, "x", "req_1"
	}))
	if err != nil {
		t.Fatal(err)
	}
	var seal Sealer
	canon := seal.Seal(e).Canon
	same := func(text []byte) {
		got, err := Read(text)
		want, wrong := decoded(text)
		if (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nis read as %+v, %v\nand decoded as %+v, %v", text, got, err, want, wrong)
		}
	}
	same(canon)
	for i := range canon {
		same(append(bytes.Clone(canon[:i]), canon[i+1:]...))
		same(append(bytes.Clone(canon[:i+1]), canon[i:]...))
		for _, c := range []byte("\x00\x1f \"\\/{}:,-0159aAfgz_\x7f\xc3\xff") {
			text := bytes.Clone(canon)
			text[i] = c
			same(text)
		}
	}
}

type form struct {
	Action   Action            `json:"action"`
	Actor    string            `json:"actor"`
	At       int64             `json:"at"`
	Details  map[string]string `json:"details"`
	ID       string            `json:"id"`
	Instance string            `json:"instance"`
	Org      string            `json:"org"`
	OrgPrev  string            `json:"org_prev"`
	OrgSeq   uint64            `json:"org_seq"`
	Outcome  Outcome           `json:"outcome"`
	Personal map[string]string `json:"personal"`
	Request  string            `json:"request"`
	Target   string            `json:"target"`
}

// decoded is Read by the library: it decodes, encodes again and compares.
func decoded(canon []byte) (Said, error) {
	var (
		f   form
		s   Said
		err error
	)
	if err := json.Unmarshal(canon, &f); err != nil {
		return s, err
	}
	s = Said{Details: f.Details, Personal: f.Personal, Columns: Columns{
		OrgSeq: f.OrgSeq, AtMicros: f.At, Actor: f.Actor, Action: f.Action, Target: f.Target, Outcome: f.Outcome, Request: f.Request, Instance: f.Instance,
	}}
	if s.ID, err = ParseID(f.ID); err != nil {
		return s, err
	}
	if f.Org != "" {
		if s.Org, err = tenancy.ParseOrgID(f.Org); err != nil {
			return s, err
		}
		s.Place.Seq = f.OrgSeq
		if n, err := hex.Decode(s.Place.Prev[:], []byte(f.OrgPrev)); err != nil || n != len(s.Place.Prev) || f.OrgSeq == 0 {
			return s, fmt.Errorf("an entry has no place among its organisation's")
		}
	}
	again := Entry{columns: s.Columns}
	again.encode(sorted(nil, f.Details), sorted(nil, f.Personal))
	if !bytes.Equal(again.appendCanon(nil, s.Place), canon) {
		return s, fmt.Errorf("an entry is not in its canonical form")
	}
	return s, nil
}

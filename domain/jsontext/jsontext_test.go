package jsontext

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func check(text string) error {
	r := NewReader([]byte(text))
	if _, err := r.Value(); err != nil {
		return err
	}
	return r.End()
}

func TestReaderRefusesWhatIsNotStrictJSON(t *testing.T) {
	for text, code := range map[string]string{
		``: "invalid_json", `{`: "invalid_json", `{"a":1,}`: "invalid_json", `[1,]`: "invalid_json", `{'a':1}`: "invalid_json",
		`{"a":1}x`: "invalid_json", `01`: "invalid_json", `1.`: "invalid_json", `-`: "invalid_json", `1e`: "invalid_json", `tru`: "invalid_json",
		`Infinity`: "invalid_json", "\"a\x01b\"": "invalid_json", `"\x"`: "invalid_json", `"\u12"`: "invalid_json", `{/**/"a":1}`: "invalid_json",
		"\"a\xffb\"": "invalid_encoding", `"\ud800"`: "invalid_encoding", `"\ud800\u0041"`: "invalid_encoding", `"\udc00"`: "invalid_encoding", "\"aaaaaaaaaaaa\xc0\xae\"": "invalid_encoding",
		`{"a":1,"a":2}`: "duplicate_key", `{"a":1,"\u0061":2}`: "duplicate_key",
		strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1): "invalid_json",
	} {
		var syntax *SyntaxError
		if err := check(text); !errors.As(err, &syntax) || syntax.Code != code {
			t.Errorf("%.40q: got %v, want %s", text, err, code)
		}
	}
}

func TestReaderFindsADuplicateAmongMany(t *testing.T) {
	var b strings.Builder
	b.WriteByte('{')
	for i := range 40 {
		b.WriteString(`"k` + strings.Repeat("x", i) + `":1,`)
	}
	b.WriteString(`"kxxx":2}`)
	var syntax *SyntaxError
	if err := check(b.String()); !errors.As(err, &syntax) || syntax.Code != "duplicate_key" || syntax.Name != "kxxx" {
		t.Fatalf("got %v", err)
	}
}

func FuzzReaderAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\n\u00e9\ud83d\ude00"],"b":{"c":null,"d":true}}`, `"plain ascii longer than eight bytes"`, `[]`, `{}`, ` 1 `, `"äöü…"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := check(s)
		if err == nil && !json.Valid([]byte(s)) {
			t.Fatalf("%q was taken, but is not JSON", s)
		}
		if err != nil && json.Valid([]byte(s)) {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || (syntax.Code == "invalid_json" && !strings.Contains(syntax.Reason, "nested deeper")) {
				t.Fatalf("%q is JSON, but was refused: %v", s, err)
			}
		}
		if err != nil {
			return
		}
		r := NewReader([]byte(s))
		if r.Kind() != '"' {
			return
		}
		got, err := r.String()
		var want string
		if json.Unmarshal([]byte(s), &want) != nil || err != nil || got != want {
			t.Fatalf("%q: got %q, %v, want %q", s, got, err, want)
		}
	})
}

func FuzzAppendStringEqualsEncodingJSON(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f<>&", "é…😀\u2028\u2029", "\xff\xc0a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendString(nil, s); string(got) != string(want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func BenchmarkReadLongString(b *testing.B) {
	text := []byte(`{"a":"` + strings.Repeat("some words of a long prompt. ", 3500) + `"}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := NewReader(text).Value(); err != nil {
			b.Fatal(err)
		}
	}
}

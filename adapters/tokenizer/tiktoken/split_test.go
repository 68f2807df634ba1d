package tiktoken

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer/codec"
	"pgregory.net/rapid"
)

// The encodings' expressions as OpenAI published them, less what no automaton can do: that
// white space leaves its last character to the word behind it.
var (
	blanks = `[\t\n\v\f\r \x{85}\p{Z}]`
	plain  = regexp.MustCompile(expression(`^(?:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|(\s*[\r\n]+)|(\s+))`))
	cased  = regexp.MustCompile(expression(`^(?:[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|(\s*[\r\n]+)|(\s+))`))
)

// expression has \s be all white space, as it is where the encodings are made.
func expression(s string) string {
	s = strings.ReplaceAll(s, `[^\s`, `[^\t\n\v\f\r \x{85}\p{Z}`)
	return strings.ReplaceAll(s, `\s`, blanks)
}

// expected splits as the expression does.
func expected(re *regexp.Regexp, text string) (out []string) {
	for text != "" {
		m := re.FindStringSubmatchIndex(text)
		end := m[1]
		if space := m[4] >= 0; space && end < len(text) {
			if _, last := utf8.DecodeLastRuneInString(text[:end]); last < end {
				end -= last
			}
		}
		out, text = append(out, text[:end]), text[end:]
	}
	return out
}

func split(next func(string) int, text string) (out []string) {
	for text != "" {
		n := next(text)
		out, text = append(out, text[:n]), text[n:]
	}
	return out
}

func TestTextIsSplitAsTheEncodingsExpressionsDo(t *testing.T) {
	t.Parallel()
	part := rapid.OneOf(
		rapid.SampledFrom([]string{
			" ", "  ", "\n", "\r\n", "\t", "\n\n  ", "/", "'s", "'LL", "'re", "'", "don't", "HTTPServer", "camelCase", "été", "e\u0301", "日本語", "ǅ", "ʰ", "ª",
			"1234567", "٣٤٥٦", "½", "!!!", "://", `{"a": [1, 2]}`, "\u00a0", "\u2028", "\u3000", "👩‍👩‍👧", "a\u0300\u0301", "\u0300", "_", "—", "'ſ", "aſ", "\u0085", "func f() {\n\treturn\n}\n",
			"𝐀𝐛", "ＡＢｃ", "Ⅷ", "कर्म", "ไทย", "עברית", "العربية", "   x", "\v\f", "\x7f", "\x00", "\xff",
		}),
		rapid.StringN(0, 12, 40),
		rapid.StringMatching(`[a-zA-Z' \n0-9/.]{0,20}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "text"), "")
		if got, want := split(nextPlain, text), expected(plain, text); !slices.Equal(got, want) {
			t.Fatalf("cl100k splits %q into %q, not %q", text, got, want)
		}
		if got, want := split(nextCased, text), expected(cased, text); !slices.Equal(got, want) {
			t.Fatalf("o200k splits %q into %q, not %q", text, got, want)
		}
	})
}

func TestPairsAreMergedAsTheCodecsDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		*encoding
		codec *codec.Codec
	}{{New().o200k(), codec.NewO200kBase()}, {New().cl100k(), codec.NewCl100kBase()}} {
		rapid.Check(t, func(t *rapid.T) {
			word := rapid.StringMatching(`[a-z]{1,200}|[A-Z]{1,40}|(日|本|語|の|お){1,60}|[!-/]{1,100}`).Draw(t, "word")
			want, err := c.codec.Count(word)
			if got := c.count(word); err != nil || got != want {
				t.Fatalf("%d tokens in %q, not %d (%v)", got, word, want, err)
			}
		})
	}
}

func TestTheVocabulariesAreThoseOfTheEncodings(t *testing.T) {
	for name, v := range map[string]struct {
		ours  *encoding
		codec *codec.Codec
		size  int
	}{"o200k": {New().o200k(), codec.NewO200kBase(), 199_998}, "cl100k": {New().cl100k(), codec.NewCl100kBase(), 100_256}} {
		if len(v.ours.ranks) != v.size {
			t.Errorf("%s has %d tokens", name, len(v.ours.ranks))
		}
		for token, id := range v.ours.ranks {
			if want, err := v.codec.Decode([]uint{uint(id)}); err != nil || want != token {
				t.Fatalf("%s: %d is %q, not %q, %v", name, id, want, token, err)
			}
		}
	}
}

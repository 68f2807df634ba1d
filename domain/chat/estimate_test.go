package chat

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestMediaCountInWhatAPromptIsTakenFor(t *testing.T) {
	t.Parallel()
	text := EstimatePrompt([]Message{NewMessage(User, "what is it?")})
	for name, c := range map[string]struct {
		part Part
		want int
	}{
		"a picture":                 {Part{Kind: ImagePart, JSON: []byte(`{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}`)}, 1600},
		"a picture in low detail":   {Part{Kind: ImagePart, JSON: []byte(`{"type":"image_url","image_url":{"url":"https://example.org/a.png", "detail": "low"}}`)}, 85},
		"a recording of 100,000 B":  {Part{Kind: AudioPart, JSON: []byte(strings.Repeat(" ", 100_000))}, 51},
		"a file, which is not read": {Part{Kind: FilePart, JSON: []byte(`{"type":"file"}`)}, 0},
	} {
		m := NewMessage(User, "what is it?")
		m.Parts = append(m.Parts, c.part)
		if got := EstimatePrompt([]Message{m}) - text; got != c.want {
			t.Errorf("%s counts as %d tokens, not %d", name, got, c.want)
		}
	}
}

func TestRunesAreCountedAsTheyAre(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(-1, 100, -1).Draw(t, "text")
		if got := countRunes(text); got != utf8.RuneCountInString(text) {
			t.Fatalf("%d runes in %q", got, text)
		}
	})
}

func BenchmarkEstimateTokens(b *testing.B) {
	text := strings.Repeat("word of a prompt ", 60)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if EstimateTokens(text) == 0 {
			b.Fatal("none")
		}
	}
}

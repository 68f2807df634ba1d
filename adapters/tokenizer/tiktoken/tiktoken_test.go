package tiktoken_test

import (
	"strings"
	"testing"

	"agentapi/adapters/tokenizer/tiktoken"
	"agentapi/domain/chat"
)

var shared = tiktoken.New()

// What OpenAI's cookbook says of these texts.
func TestTextsHaveAsManyTokensAsOpenAIPublished(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		gpt4  int
		gpt4o int
	}{
		{"tiktoken is great!", 6, 6},
		{"antidisestablishmentarianism", 6, 6},
		{"2 + 2 = 4", 7, 7},
		{"お誕生日おめでとう", 9, 8},
		{"hello world", 2, 2},
		{"", 0, 0},
	} {
		if got := shared.Of("gpt-4")(c.text); got != c.gpt4 {
			t.Errorf("gpt-4 makes %d tokens of %q, not %d", got, c.text, c.gpt4)
		}
		if got := shared.Of("gpt-4o")(c.text); got != c.gpt4o {
			t.Errorf("gpt-4o makes %d tokens of %q, not %d", got, c.text, c.gpt4o)
		}
	}
}

// The cookbook's example of a whole prompt, which the API counted.
func TestAPromptHasAsManyTokensAsOpenAICounted(t *testing.T) {
	t.Parallel()
	say := func(role chat.Role, name, text string) chat.Message {
		m := chat.NewMessage(role, text)
		m.Name = name
		return m
	}
	prompt := []chat.Message{
		say(chat.System, "", "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."),
		say(chat.System, "example_user", "New synergies will help drive top-line growth."),
		say(chat.System, "example_assistant", "Things working well together will increase revenue."),
		say(chat.System, "example_user", "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."),
		say(chat.System, "example_assistant", "Let's talk later when we're less busy about how to do better."),
		say(chat.User, "", "This late pivot means we don't have time to boil the ocean for the client deliverable."),
	}
	for model, want := range map[string]int{"gpt-3.5-turbo": 129, "gpt-4-0613": 129, "gpt-4": 129, "gpt-4o": 124, "gpt-4o-mini": 124} {
		if got := shared.Of(model).Prompt(prompt); got != want {
			t.Errorf("%s makes %d tokens of it, not %d", model, got, want)
		}
	}
}

func TestOnlyOpenAIsFamiliesAreKnown(t *testing.T) {
	t.Parallel()
	const differs = "お誕生日おめでとう" // 9 tokens or 8
	for model, want := range map[string]int{
		"gpt-4o": 8, "gpt-4o-2024-08-06": 8, "chatgpt-4o-latest": 8, "gpt-4.1-mini": 8, "gpt-5": 8, "gpt-5.1": 8, "gpt-5-nano": 8, "o1": 8, "o3-mini": 8,
		"o4-mini": 8, "openai/gpt-4o:free": 8, "openai,gpt-5": 8, "ft:gpt-4o-mini:acme::1": 8, "gpt-oss:20b": 8,
		"gpt-4": 9, "gpt-4-turbo": 9, "gpt-4-32k": 9, "gpt-3.5-turbo": 9, "gpt-35-turbo": 9, "ft:gpt-3.5-turbo:acme": 9,
		"claude-sonnet-4-5": 0, "gemini-2.5-pro": 0, "gpt-4all": -1, "gpt-6": 0, "o1x": 0, "o": 0, "": 0, "gpt-4.7": 0, "google/gemini": 0,
	} {
		count := shared.Of(model)
		switch {
		case want == -1: // gpt-4all: no family of OpenAI's
			if count != nil {
				t.Errorf("%s is known", model)
			}
		case (count == nil) != (want == 0):
			t.Errorf("%q is known: %v", model, count != nil)
		case want > 0 && count(differs) != want:
			t.Errorf("%s counts %d, not %d", model, count(differs), want)
		}
	}
}

func TestALongPieceIsCountedNearlyRight(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a", 100_000) // 12,500 tokens of 8
	if got := shared.Of("gpt-4o")(text); got < 12_500 || got > 12_900 {
		t.Errorf("%d tokens", got)
	}
}

func BenchmarkCount(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, and 1234 more words.\n\tif err != nil { return }\n", 12)[:1024]
	for _, model := range []string{"gpt-4o", "gpt-4"} {
		count := shared.Of(model)
		count(text)
		b.Run(model, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				count(text)
			}
		})
	}
}

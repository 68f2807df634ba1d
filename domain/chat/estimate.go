package chat

import (
	"bytes"
	"math/bits"
)

// perMessage is what a chat template adds to each message (OpenAI counts three
// tokens and one for the role).
const perMessage = 4

// EstimateTokens guesses how many tokens a model would make of text: four
// characters of Latin script make about one token, other scripts about one a
// rune. It is an estimate and must be reported as one.
func EstimateTokens(text string) int {
	if text == "" {
		return 0
	}
	runes := countRunes(text)
	wide := (len(text) - runes) / 2 // runes outside ASCII, roughly
	return max(1, (runes-min(wide, runes)+3)/4+min(wide, runes))
}

// countRunes counts the runes of a text by the bytes that begin one, eight at a time: a
// prompt may be long, and each is counted.
func countRunes(text string) int {
	const ones = 0x0101010101010101
	n, i := len(text), 0
	for ; i+8 <= len(text); i += 8 {
		s := text[i : i+8]
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		n -= bits.OnesCount64(w >> 7 &^ (w >> 6) & ones)
	}
	for ; i < len(text); i++ {
		n -= int(text[i] >> 7 &^ (text[i] >> 6))
	}
	return n
}

// What media are taken for, which nobody here looks into: a picture for a large one, a
// recording for about ten tokens a second at what compressed speech takes.
const (
	smallPicture  = 85 // where low detail is asked for
	largePicture  = 1600
	bytesPerSound = 2000 // of the part, for a token
)

// estimate guesses the tokens of a part's media. What a file holds is not guessed.
func (p *Part) estimate() int {
	switch p.Kind {
	case ImagePart:
		if bytes.Contains(p.JSON, []byte(`"detail":"low"`)) || bytes.Contains(p.JSON, []byte(`"detail": "low"`)) {
			return smallPicture
		}
		return largePicture
	case AudioPart:
		return len(p.JSON)/bytesPerSound + 1
	default:
		return 0
	}
}

// Count tells how many tokens a model makes of a text. It is safe for concurrent use.
type Count func(text string) int

// Said is the tokens of a transcript's text, by OpenAI's own rule: each message has one
// for its role and three about it, a name has one about it, and the answer is begun with
// three. What media make is not in it.
func (count Count) Said(msgs []Message) int {
	n := 3
	for i := range msgs {
		m := &msgs[i]
		n += perMessage
		if m.Name != "" {
			n += count(m.Name) + 1
		}
		for _, p := range m.Parts {
			n += count(p.Text)
		}
		for _, c := range m.ToolCalls {
			n += count(c.Name) + count(c.Arguments)
		}
	}
	return n
}

// Prompt is the tokens of a transcript; those of media are guessed.
func (count Count) Prompt(msgs []Message) int {
	n := count.Said(msgs)
	for i := range msgs {
		for j := range msgs[i].Parts {
			n += msgs[i].Parts[j].estimate()
		}
	}
	return n
}

// Tools is about the tokens of tools that are offered: a provider writes them to its
// models in a form of its own, which is shorter.
func (count Count) Tools(tools []ToolSpec) int {
	n := 0
	for _, t := range tools {
		n += count(t.Name) + count(t.Description) + count(string(t.Parameters))
	}
	return n
}

// Answer is the tokens of a completion, as far as it was told.
func (count Count) Answer(c Completion) int {
	n := 0
	for i := range c.Choices {
		m := &c.Choices[i].Message
		n += count(m.Text()) + count(c.Choices[i].Reasoning) + count(m.Refusal)
		for _, t := range m.ToolCalls {
			n += count(t.Name) + count(t.Arguments)
		}
	}
	return n
}

// EstimatePrompt guesses the tokens of a transcript.
func EstimatePrompt(msgs []Message) int { return Count(EstimateTokens).Prompt(msgs) }

// EstimateAnswer guesses the tokens of a completion.
func EstimateAnswer(c Completion) int { return Count(EstimateTokens).Answer(c) }

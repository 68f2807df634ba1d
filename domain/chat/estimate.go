package chat

import (
	"bytes"
	"unicode/utf8"
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
	runes := utf8.RuneCountInString(text)
	wide := (len(text) - runes) / 2 // runes outside ASCII, roughly
	return max(1, (runes-min(wide, runes)+3)/4+min(wide, runes))
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

// EstimatePrompt guesses the tokens of a transcript.
func EstimatePrompt(msgs []Message) int {
	n := 3
	for i := range msgs {
		m := &msgs[i]
		n += perMessage
		for _, p := range m.Parts {
			n += EstimateTokens(p.Text) + p.estimate()
		}
		for _, c := range m.ToolCalls {
			n += EstimateTokens(c.Name) + EstimateTokens(c.Arguments)
		}
	}
	return n
}

// EstimateAnswer guesses the tokens of a completion.
func EstimateAnswer(c Completion) int {
	n := 0
	for i := range c.Choices {
		m := &c.Choices[i].Message
		n += EstimateTokens(m.Text()) + EstimateTokens(c.Choices[i].Reasoning) + EstimateTokens(m.Refusal)
		for _, t := range m.ToolCalls {
			n += EstimateTokens(t.Name) + EstimateTokens(t.Arguments)
		}
	}
	return n
}

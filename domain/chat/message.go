// Package chat is the language of completions: messages, requests, the events
// that an answer is made of, and the answer that they add up to.
package chat

import (
	"slices"
	"strings"
)

// Role is who speaks in a message.
type Role string

// The roles of OpenAI's chat messages. Developer and System mean the same;
// Function is the deprecated form of Tool.
const (
	Developer Role = "developer"
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	Tool      Role = "tool"
	Function  Role = "function"
)

// Instructs tells whether the role gives instructions rather than taking part
// in the conversation.
func (r Role) Instructs() bool { return r == System || r == Developer }

// Message is one turn of a conversation. Strings and slices in it are owned by
// whoever holds it; nothing aliases a transport's buffer.
type Message struct {
	Role       Role
	Name       string     // an optional name of the speaker
	Parts      []Part     // the content; nil where the message has none (null)
	ToolCalls  []ToolCall // an assistant's calls for the client to run
	ToolCallID string     // of a tool message: the call that it answers
	Refusal    string     // an assistant's refusal, instead of content
}

// PartKind is the sort of a content part.
type PartKind string

// The parts that messages may hold.
const (
	TextPart    PartKind = "text"
	RefusalPart PartKind = "refusal"
	ImagePart   PartKind = "image_url"
	AudioPart   PartKind = "input_audio"
	FilePart    PartKind = "file"
)

// Part is a piece of a message's content.
type Part struct {
	Kind PartKind
	Text string // of text and refusal parts
	JSON []byte // of media parts: the whole part as the client sent it, valid JSON
}

// ToolCall is an assistant's request that the client run a tool.
type ToolCall struct {
	ID        string
	Custom    bool // a custom tool, whose input is free text; else a function
	Name      string
	Arguments string // JSON text as the model wrote it, not necessarily valid; free text of a custom tool
}

// NewMessage makes a message of plain text.
func NewMessage(role Role, text string) Message {
	return Message{Role: role, Parts: []Part{{Kind: TextPart, Text: text}}}
}

// Text joins the message's text parts.
func (m *Message) Text() string {
	if len(m.Parts) == 1 {
		return m.Parts[0].Text
	}
	var b strings.Builder
	for _, p := range m.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// HasMedia tells whether a part is anything but text.
func (m *Message) HasMedia() bool {
	return slices.ContainsFunc(m.Parts, func(p Part) bool { return p.Kind != TextPart && p.Kind != RefusalPart })
}

// Same tells whether two messages say the same, for finding where a transcript
// that a client sends departs from the stored one. How text is cut into parts
// does not matter, nor does the name.
func (m *Message) Same(o *Message) bool {
	if m.Role.Instructs() != o.Role.Instructs() || (!m.Role.Instructs() && m.Role != o.Role) ||
		m.ToolCallID != o.ToolCallID || m.Refusal != o.Refusal || m.Text() != o.Text() ||
		!slices.Equal(m.ToolCalls, o.ToolCalls) {
		return false
	}
	media := func(m *Message) []Part {
		return slices.DeleteFunc(slices.Clone(m.Parts), func(p Part) bool { return p.JSON == nil })
	}
	if !m.HasMedia() && !o.HasMedia() {
		return true
	}
	return slices.EqualFunc(media(m), media(o), func(a, b Part) bool { return string(a.JSON) == string(b.JSON) })
}

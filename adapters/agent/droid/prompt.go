package droid

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"agentapi/domain/chat"
)

// render makes one prompt of messages. A single message of the user's is passed
// on as it is; else each is marked with who says it.
func render(msgs []chat.Message) string {
	if len(msgs) == 1 && msgs[0].Role == chat.User {
		return msgs[0].Text()
	}
	var b strings.Builder
	for i := range msgs {
		m := &msgs[i]
		if i == len(msgs)-1 && m.Role == chat.User {
			b.WriteString(m.Text())
			break
		}
		tag := string(m.Role)
		if m.Role.Instructs() {
			tag = "instructions"
		}
		b.WriteString("<" + tag + ">\n" + m.Text())
		for _, c := range m.ToolCalls {
			b.WriteString("\n[called " + c.Name + " with " + c.Arguments + "]")
		}
		b.WriteString("\n</" + tag + ">\n\n")
	}
	return b.String()
}

// digest names a transcript, so that it is known whether a session of the
// program's holds just what we keep of it.
func digest(msgs []chat.Message) string {
	h := sha256.New()
	for i := range msgs {
		m := &msgs[i]
		role := m.Role
		if role.Instructs() {
			role = chat.System
		}
		for _, s := range []string{string(role), m.Text(), m.Refusal, m.ToolCallID} {
			sum := sha256.Sum256([]byte(s))
			h.Write(sum[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

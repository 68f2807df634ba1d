package session

import (
	"strings"
	"testing"
	"unicode/utf8"

	"agentapi/domain/chat"
)

func user(s string) chat.Message      { return chat.NewMessage(chat.User, s) }
func assistant(s string) chat.Message { return chat.NewMessage(chat.Assistant, s) }
func system(s string) chat.Message    { return chat.NewMessage(chat.System, s) }

func stored(msgs ...chat.Message) (turns []Turn) {
	for i, m := range msgs {
		turns = append(turns, Turn{Seq: i + 1, Message: m})
	}
	return turns
}

func TestHowARequestMeetsAStoredConversation(t *testing.T) {
	kept := stored(system("s"), user("a"), assistant("b"))
	for name, c := range map[string]struct {
		stored     []Turn
		msgs       []chat.Message
		own        bool
		how        Continuation
		transcript int
		fresh      int
	}{
		"nothing is stored":                       {nil, []chat.Message{user("a")}, true, Fresh, 1, 1},
		"the whole transcript and one more":       {kept, []chat.Message{system("s"), user("a"), assistant("b"), user("c")}, false, Resumed, 4, 1},
		"the transcript and tool results":         {kept, []chat.Message{system("s"), user("a"), assistant("b"), user("c"), assistant("d"), user("e")}, false, Resumed, 6, 3},
		"one message under our session id":        {kept, []chat.Message{user("c")}, true, Resumed, 4, 1},
		"that and the same instructions":          {kept, []chat.Message{system("s"), user("c")}, true, Resumed, 4, 1},
		"that and new instructions":               {kept, []chat.Message{system("t"), user("c")}, true, Resumed, 5, 2},
		"one message under a key of the client's": {kept, []chat.Message{user("c")}, false, Forked, 1, 1},
		"an edited message":                       {kept, []chat.Message{system("s"), user("A"), assistant("b"), user("c")}, true, Forked, 4, 4},
		"nothing new":                             {kept, []chat.Message{system("s"), user("a"), assistant("b")}, false, Forked, 3, 3},
		"a regenerated answer":                    {kept, []chat.Message{system("s"), user("a")}, false, Forked, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			how, transcript, fresh := Continue(c.stored, c.msgs, c.own)
			if how != c.how || len(transcript) != c.transcript || fresh != c.fresh {
				t.Errorf("got %s, %d messages, %d of them fresh", how, len(transcript), fresh)
			}
			if last := transcript[len(transcript)-1]; !last.Same(&c.msgs[len(c.msgs)-1]) {
				t.Error("the transcript does not end with what the client said last")
			}
		})
	}
}

func TestATitleIsOneShortLine(t *testing.T) {
	for in, want := range map[string]string{
		"  hello\nworld": "hello", "": "", "a\tb\x1b]52;c\x07": "a b ]52;c",
	} {
		if got := Title(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	long := Title(strings.Repeat("wörd ", 40))
	if n := utf8.RuneCountInString(long); n > 80 || !strings.HasSuffix(long, "wörd…") {
		t.Errorf("got %q of %d runes", long, n)
	}
}

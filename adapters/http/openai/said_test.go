package openai

import (
	"strings"
	"testing"
)

func TestOnlyATextThatIsHalfOfTheBodySharesItsMemory(t *testing.T) {
	long, short := strings.Repeat("long ", 100), "a short one"
	body := []byte(`{"model":"m","messages":[{"role":"system","content":"` + short + `"},{"role":"user","content":[{"type":"text","text":"` + short + `"}]},{"role":"user","content":"` + long + `"}]}`)
	got, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = '!' // as nobody may
	}
	for i, want := range []string{short, short, strings.Repeat("!", len(long))} {
		if text := got.Request.Messages[i].Text(); text != want {
			t.Errorf("message %d: got %q", i, text)
		}
	}
}

package openai

import (
	"testing"

	"agentapi/domain/chat"
)

// What agents change is found again in the text as it came.
func TestPlacesAreWhereTheValuesStand(t *testing.T) {
	for text, want := range map[string][3]string{
		`{"model":"a","messages":[{"role":"user","content":"x"}]}`:                                                    {`"a"`, `[{"role":"user","content":"x"}]`, ""},
		" {\"stream\" :true ,\n\"stream_options\" : { \"include_usage\" : false } , \"mod\\u0065l\" :\t\"\\u0061\" }": {`"\u0061"`, "", `{ "include_usage" : false }`},
		`{"messages":null,"stream_options":null,"model":"b","user":"c"}`:                                              {`"b"`, "null", "null"},
	} {
		got, err := Decode([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		at := got.Request.Places
		for i, p := range []chat.Place{at.Model, at.Messages, at.StreamOptions} {
			if found := text[p.From:p.To]; found != want[i] || !got.Request.Placed {
				t.Errorf("%s: place %d has %q, not %q", text, i, found, want[i])
			}
		}
	}
}

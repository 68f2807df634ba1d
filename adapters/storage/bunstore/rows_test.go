package bunstore

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
)

// Each field of a turn's metadata comes back, whatever else is set.
func TestMetadataIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, word := range []words{"x", "\"quoted\" <\u2028>", "a\x00b", "\n\\"} {
		for _, m := range []metadata{{}, {Parts: []part{}}, {ToolCalls: []call{{ID: "c", Name: "n", Arguments: word}}}} {
			fields := reflect.ValueOf(&m).Elem()
			for i := range fields.NumField() {
				switch f := fields.Field(i); f.Kind() {
				case reflect.String:
					f.SetString(fmt.Sprint(word, i))
				case reflect.Bool:
					f.SetBool(true)
				default: // lists
				}
				text, err := m.text()
				if err != nil {
					t.Fatal(err)
				}
				var got metadata
				if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, m) {
					t.Errorf("%s: got %+v, %v", text, got, err)
				}
			}
		}
	}
}

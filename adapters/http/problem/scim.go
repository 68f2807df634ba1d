package problem

import (
	"net/http"
	"strconv"

	"agentapi/domain/jsontext"
)

// scimTypes are SCIM's words for what is wrong (RFC 7644, 3.12), by our codes.
var scimTypes = map[string]string{
	"invalid_filter": "invalidFilter",
	"invalid_path":   "invalidPath",
	"invalid_syntax": "invalidSyntax",
	"invalid_json":   "invalidSyntax",
	"duplicate_key":  "invalidSyntax",
	"invalid_value":  "invalidValue",
	"mutability":     "mutability",
	"no_target":      "noTarget",
	"uniqueness":     "uniqueness",
}

// SCIM renders SCIM's error body, with the hint in the detail.
func (p Problem) SCIM() []byte {
	b := []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"`)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	b = append(b, '"')
	if t := scimTypes[p.Code]; t != "" && (p.Status == http.StatusBadRequest || p.Status == http.StatusConflict) {
		b = append(b, `,"scimType":"`+t+`"`...)
	}
	detail := p.Message
	if p.Hint != "" {
		detail += " " + p.Hint
	}
	b = append(b, `,"detail":`...)
	return append(jsontext.AppendString(b, detail), '}')
}

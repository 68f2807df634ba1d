package openai

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// checkMedia checks the object of a media part; at is its place.
func checkMedia(at string, kind chat.PartKind, object []byte) error {
	fields := map[string]string{}
	r := jsontext.NewReader(object)
	if err := r.Object(func(name []byte) (err error) {
		if r.Kind() == '"' {
			key := string(name)
			fields[key], err = r.String()
			return err
		}
		_, err = r.Value()
		return err
	}); err != nil {
		return err
	}
	missing := func(field string) error {
		return fault.Invalidf(at+"."+field, "missing_required_parameter", "Missing required parameter: '%s.%s'.", at, field)
	}
	switch kind {
	case chat.ImagePart:
		if fields["url"] == "" {
			return missing("url")
		}
		if !publicURL(fields["url"]) {
			return fault.Invalidf(at+".url", "url_not_allowed", "An image must be a data: URL or https:// with a public host name, without port or user.")
		}
	case chat.AudioPart:
		if fields["data"] == "" {
			return missing("data")
		}
		if fields["format"] == "" {
			return missing("format")
		}
	case chat.FilePart:
		if fields["file_id"] == "" && fields["file_data"] == "" {
			return missing("file_data")
		}
	}
	return nil
}

// publicURL tells whether an image's address is data, or a name on the public
// network. This server never fetches it, but a back end may, from inside.
func publicURL(s string) bool {
	if len(s) >= 5 && strings.EqualFold(s[:5], "data:") {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" || u.Port() != "" || strings.Contains(u.Host, ":") {
		return false
	}
	// Names in other scripts are mapped as those who resolve them do: full-width
	// digits make an address.
	host, err := idna.Lookup.ToASCII(strings.TrimSuffix(u.Hostname(), "."))
	if err != nil {
		return false
	}
	if host = strings.ToLower(host); !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal") {
		return false
	}
	for _, c := range host {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	// An address in any of its old spellings (octal, hexadecimal, one number)
	// ends in a label that begins with a digit; a public name never does.
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && (last[0] < '0' || last[0] > '9')
}

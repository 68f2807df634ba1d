package openai

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"agentapi/adapters/http/request"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// Decoded is a chat request and what its body says of the conversation.
type Decoded struct {
	Request *chat.Request
	Session string // metadata.session_id
}

// Decode reads the body of a chat completion strictly: every parameter is
// checked for its type and bounds, none is dropped. The request keeps raw, which
// nobody may change. Errors are fault.Invalid and name the place.
func Decode(raw []byte) (Decoded, error) {
	d := decoder{r: *jsontext.NewReader(raw), req: &chat.Request{N: 1, Raw: raw, Placed: true}}
	if d.r.Kind() == 0 && len(bytes.TrimSpace(raw)) == 0 {
		return Decoded{}, fault.Invalidf("", "invalid_json", "The request body is empty; it must be a JSON object.")
	}
	if k := d.r.Kind(); k != 0 && k != '{' {
		if _, err := d.r.Value(); err != nil {
			return Decoded{}, request.Syntax(err)
		}
		return Decoded{}, fault.Invalidf("", "invalid_request", "The request body must be a JSON object.")
	}
	err := d.r.Object(d.member)
	if err == nil {
		err = d.r.End()
	}
	if err == nil {
		err = d.finish()
	}
	if err != nil {
		return Decoded{}, request.Syntax(err)
	}
	return Decoded{Request: d.req, Session: d.session}, nil
}

type decoder struct {
	r       jsontext.Reader
	req     *chat.Request
	session string

	sawMessages   bool
	maxTokens     [2]int // max_tokens, max_completion_tokens
	logprobs      bool
	topLogprobs   bool
	streamOptions bool
	sawTools      bool
	toolChoice    []byte
	functionCall  []byte
}

// sampling are the parameters that only change the manner of an answer.
func (d *decoder) sampling(name string) {
	if d.req.Params == nil {
		d.req.Params = make([]string, 0, 4) // few are given
	}
	d.req.Params = append(d.req.Params, name)
}

func (d *decoder) special(name string) { d.req.Special = append(d.req.Special, name) }

// member reads one member of the request, and keeps where it stands if agents change it.
func (d *decoder) member(name []byte) error {
	var at *chat.Place
	switch places := &d.req.Places; string(name) {
	case "model":
		at = &places.Model
	case "messages":
		at = &places.Messages
	case "stream_options":
		at = &places.StreamOptions
	default:
		return d.value(name)
	}
	d.r.Kind() // goes to where the value begins
	at.From = d.r.Offset()
	err := d.value(name)
	at.To = d.r.Offset()
	return err
}

func (d *decoder) value(name []byte) error {
	if d.r.Kind() == 'n' && known[string(name)] {
		return d.r.Null() // as good as absent
	}
	switch string(name) {
	case "model":
		return d.text("model", &d.req.Model)
	case "messages":
		d.sawMessages = true
		return d.messages()
	case "stream":
		return d.bool("stream", &d.req.Stream)
	case "stream_options":
		return d.options()
	case "n":
		return d.int("n", 1, chat.MaxChoices, &d.req.N)
	case "max_tokens":
		d.sampling("max_tokens")
		return d.int("max_tokens", 1, chat.MaxMaxTokens, &d.maxTokens[0])
	case "max_completion_tokens":
		d.sampling("max_completion_tokens")
		return d.int("max_completion_tokens", 1, chat.MaxMaxTokens, &d.maxTokens[1])
	case "temperature":
		return d.number("temperature", 0, 2)
	case "top_p":
		return d.number("top_p", 0, 1)
	case "presence_penalty":
		return d.number("presence_penalty", -2, 2)
	case "frequency_penalty":
		return d.number("frequency_penalty", -2, 2)
	case "seed":
		d.sampling("seed")
		return d.int("seed", math.MinInt64, math.MaxInt64, new(int))
	case "stop":
		d.sampling("stop")
		return d.stop()
	case "logit_bias":
		d.sampling("logit_bias")
		return d.logitBias()
	case "logprobs":
		return d.bool("logprobs", &d.logprobs)
	case "top_logprobs":
		d.topLogprobs = true
		return d.int("top_logprobs", 0, 20, new(int))
	case "tools":
		d.sawTools = true
		return d.tools()
	case "tool_choice":
		return d.raw(&d.toolChoice)
	case "parallel_tool_calls":
		d.sampling("parallel_tool_calls")
		return d.bool("parallel_tool_calls", new(bool))
	case "functions":
		return d.functions()
	case "function_call":
		return d.raw(&d.functionCall)
	case "response_format":
		return d.format()
	case "reasoning_effort":
		return d.choice("reasoning_effort", "none", "minimal", "low", "medium", "high", "xhigh", "max")
	case "verbosity":
		return d.choice("verbosity", "low", "medium", "high")
	case "service_tier":
		return d.choice("service_tier", "auto", "default", "flex", "scale", "priority", "fast")
	case "store":
		return d.bool("store", &d.req.Store)
	case "metadata":
		return d.metadata()
	case "user", "safety_identifier", "prompt_cache_retention":
		return d.text(string(name), new(string)) // labels: they change nothing in the answer
	case "prompt_cache_key":
		return d.text("prompt_cache_key", &d.req.PromptCacheKey)
	case "prompt_cache_options", "prediction":
		d.sampling(string(name))
		return d.object(string(name))
	case "modalities":
		return d.modalities()
	case "audio", "web_search_options", "moderation":
		d.special(string(name))
		return d.object(string(name))
	default:
		return d.unknown(string(name))
	}
}

// known are the names of all parameters.
var known = func() map[string]bool {
	m := make(map[string]bool)
	for _, n := range []string{
		"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "temperature", "top_p",
		"presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias", "logprobs", "top_logprobs", "tools", "tool_choice",
		"parallel_tool_calls", "functions", "function_call", "response_format", "reasoning_effort", "verbosity", "service_tier",
		"store", "metadata", "user", "safety_identifier", "prompt_cache_retention", "prompt_cache_key", "prompt_cache_options",
		"prediction", "modalities", "audio", "web_search_options", "moderation",
	} {
		m[n] = true
	}
	return m
}()

// steering are names that could tell a server what to run or whom to ask. They
// are refused whatever the agent.
var steering = map[string]bool{
	"api_base": true, "base_url": true, "api_key": true, "command": true, "args": true, "env": true, "cwd": true,
	"path": true, "org_id": true, "user_id": true, "__proto__": true, "constructor": true, "prototype": true,
}

// unknown keeps the name of a member that this server does not know, or
// refuses it where it could steer the server or be taken for another.
func (d *decoder) unknown(name string) error {
	low := strings.ToLower(name)
	if steering[low] || strings.HasPrefix(low, "extra_") || known[low] {
		return fault.Invalidf(clip(name), "unknown_parameter", "Unknown parameter: '%s'.", clip(name))
	}
	d.req.Unknown = append(d.req.Unknown, clip(name))
	_, err := d.r.Value()
	return err
}

// clip bounds a client's text that is quoted back.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// finish checks what several members say together.
func (d *decoder) finish() error {
	r := d.req
	if d.sawMessages && len(r.Messages) == 0 {
		return fault.Invalidf("messages", "empty_array", "messages must hold at least one message.")
	}
	if a, b := d.maxTokens[0], d.maxTokens[1]; a != 0 && b != 0 && a != b {
		return fault.Invalidf("max_tokens", "invalid_value", "max_tokens and max_completion_tokens differ; send max_completion_tokens only.")
	}
	r.MaxTokens = max(d.maxTokens[0], d.maxTokens[1])
	if d.topLogprobs && !d.logprobs {
		return fault.Invalidf("top_logprobs", "invalid_value", "top_logprobs needs logprobs to be true.")
	}
	if d.logprobs {
		d.special("logprobs")
	}
	if d.streamOptions && !r.Stream {
		return fault.Invalidf("stream_options", "invalid_value", "stream_options is only allowed when stream is true.")
	}
	if r.Functions && d.sawTools {
		return fault.Invalidf("functions", "invalid_value", "functions is the deprecated form of tools; send only one of them.")
	}
	if d.functionCall != nil {
		if !r.Functions {
			return fault.Invalidf("function_call", "invalid_value", "function_call is only allowed when functions are given.")
		}
		return d.checkFunctionCall()
	}
	if d.toolChoice != nil {
		return d.checkToolChoice()
	}
	return nil
}

func wrongType(param, want string) error {
	return fault.Invalidf(param, "invalid_type", "Invalid type for '%s': it must be %s.", param, want)
}

func (d *decoder) text(param string, into *string) (err error) {
	if d.r.Kind() != '"' {
		return d.mistyped(param, "a string")
	}
	*into, err = d.r.String()
	return err
}

// mistyped reads a value of the wrong type, so that a text which is no JSON at
// all is called that.
func (d *decoder) mistyped(param, want string) error {
	if _, err := d.r.Value(); err != nil {
		return err
	}
	return wrongType(param, want)
}

func (d *decoder) bool(param string, into *bool) (err error) {
	if k := d.r.Kind(); k != 't' && k != 'f' {
		return d.mistyped(param, "a boolean")
	}
	*into, err = d.r.Bool()
	return err
}

func (d *decoder) raw(into *[]byte) (err error) {
	*into, err = d.r.Value()
	return err
}

func (d *decoder) object(param string) error {
	if d.r.Kind() != '{' {
		return d.mistyped(param, "an object")
	}
	_, err := d.r.Value()
	return err
}

func outOfRange(param string, lo, hi any) error {
	return fault.Invalidf(param, "out_of_range", "Invalid value for '%s': it must be between %v and %v.", param, lo, hi)
}

// number checks a sampling parameter.
func (d *decoder) number(param string, lo, hi float64) error {
	d.sampling(param)
	if d.r.Kind() != '0' {
		return d.mistyped(param, "a number")
	}
	text, err := d.r.Number()
	if err != nil {
		return err
	}
	if v, err := strconv.ParseFloat(string(text), 64); err != nil || v < lo || v > hi {
		return outOfRange(param, lo, hi)
	}
	return nil
}

func (d *decoder) int(param string, lo, hi int, into *int) error {
	if d.r.Kind() != '0' {
		return d.mistyped(param, "an integer")
	}
	text, err := d.r.Number()
	if err != nil {
		return err
	}
	v, err := strconv.ParseInt(string(text), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return wrongType(param, "an integer")
	}
	if err != nil || int(v) < lo || int(v) > hi {
		return outOfRange(param, lo, hi)
	}
	*into = int(v)
	return nil
}

// choice checks a sampling parameter that is one of a few words.
func (d *decoder) choice(param string, words ...string) error {
	d.sampling(param)
	var got string
	if err := d.text(param, &got); err != nil {
		return err
	}
	for _, w := range words {
		if got == w {
			return nil
		}
	}
	return fault.Invalidf(param, "invalid_value", "Invalid value for '%s': '%s'. It must be one of %s.", param, clip(got), strings.Join(words, ", "))
}

func (d *decoder) options() error {
	d.streamOptions = true
	if d.r.Kind() != '{' {
		return d.mistyped("stream_options", "an object")
	}
	return d.r.Object(func(name []byte) error {
		switch string(name) {
		case "include_usage":
			return d.bool("stream_options.include_usage", &d.req.IncludeUsage)
		case "include_obfuscation":
			return d.bool("stream_options.include_obfuscation", new(bool))
		default:
			return d.unknown("stream_options." + string(name))
		}
	})
}

func (d *decoder) stop() error {
	add := func() error {
		var s string
		if err := d.text("stop", &s); err != nil {
			return err
		}
		if s != "" {
			d.req.Stop = append(d.req.Stop, s)
		}
		return nil
	}
	switch d.r.Kind() {
	case '"':
		return add()
	case '[':
		return d.r.Array(func(n int) error {
			if n >= chat.MaxStops {
				return fault.Invalidf("stop", "array_too_long", "stop may hold at most %d strings.", chat.MaxStops)
			}
			return add()
		})
	default:
		return d.mistyped("stop", "a string or an array of strings")
	}
}

func (d *decoder) logitBias() error {
	if d.r.Kind() != '{' {
		return d.mistyped("logit_bias", "an object")
	}
	return d.r.Object(func(name []byte) error {
		if _, err := strconv.ParseUint(string(name), 10, 32); err != nil {
			return fault.Invalidf("logit_bias", "invalid_value", "Invalid value for 'logit_bias': its keys must be token ids.")
		}
		if d.r.Kind() != '0' {
			return d.mistyped("logit_bias", "an object with numbers as values")
		}
		text, err := d.r.Number()
		if err != nil {
			return err
		}
		if v, err := strconv.ParseFloat(string(text), 64); err != nil || v < -100 || v > 100 {
			return outOfRange("logit_bias", -100, 100)
		}
		return nil
	})
}

func (d *decoder) metadata() error {
	if d.r.Kind() != '{' {
		return d.mistyped("metadata", "an object")
	}
	d.req.Metadata = make(map[string]string)
	return d.r.Object(func(name []byte) error {
		key := string(name)
		if len(d.req.Metadata) >= chat.MaxMetadata {
			return fault.Invalidf("metadata", "too_many_properties", "metadata may hold at most %d pairs.", chat.MaxMetadata)
		}
		if d.r.Kind() != '"' {
			return d.mistyped("metadata", "an object whose values are strings")
		}
		value, err := d.r.String()
		if err != nil {
			return err
		}
		if utf8.RuneCountInString(key) > 64 || utf8.RuneCountInString(value) > 512 {
			return fault.Invalidf("metadata", "string_too_long", "metadata keys may have 64 characters and values 512.")
		}
		d.req.Metadata[key] = value
		if key == "session_id" {
			d.session = value
		}
		return nil
	})
}

func (d *decoder) modalities() error {
	if d.r.Kind() != '[' {
		return d.mistyped("modalities", "an array of strings")
	}
	return d.r.Array(func(int) error {
		var m string
		if err := d.text("modalities", &m); err != nil {
			return err
		}
		switch m {
		case "text":
		case "audio":
			d.special("modalities")
		default:
			return fault.Invalidf("modalities", "invalid_value", "Invalid value for 'modalities': '%s'. It may hold text and audio.", clip(m))
		}
		return nil
	})
}

func place(at int, field string) string { return fmt.Sprintf("messages[%d]%s", at, field) }

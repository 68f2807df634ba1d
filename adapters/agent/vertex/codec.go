package vertex

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// request is what generateContent takes.
type request struct {
	System     *content   `json:"systemInstruction,omitempty"`
	Contents   []content  `json:"contents"`
	Tools      []toolSet  `json:"tools,omitempty"`
	ToolConfig *config    `json:"toolConfig,omitempty"`
	Generation generation `json:"generationConfig"`
}

type content struct {
	Role  string `json:"role,omitempty"`
	Parts []part `json:"parts"`
}

type part struct {
	Text      string    `json:"text,omitempty"`
	Thought   bool      `json:"thought,omitempty"`
	Inline    *blob     `json:"inlineData,omitempty"`
	File      *file     `json:"fileData,omitempty"`
	Call      *call     `json:"functionCall,omitempty"`
	Response  *response `json:"functionResponse,omitempty"`
	Signature string    `json:"thoughtSignature,omitempty"`
}

type blob struct {
	MIME string `json:"mimeType"`
	Data string `json:"data"`
}

type file struct {
	MIME string `json:"mimeType"`
	URI  string `json:"fileUri"`
}

type call struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

type response struct {
	Name     string         `json:"name"`
	Response map[string]any `json:"response"`
}

type toolSet struct {
	Functions []function `json:"functionDeclarations"`
}

type function struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"parametersJsonSchema,omitempty"`
}

type config struct {
	Calling struct {
		Mode    string   `json:"mode"`
		Allowed []string `json:"allowedFunctionNames,omitempty"`
	} `json:"functionCallingConfig"`
}

type generation struct {
	Temperature *float64        `json:"temperature,omitempty"`
	TopP        *float64        `json:"topP,omitempty"`
	MaxTokens   int             `json:"maxOutputTokens,omitempty"`
	Stop        []string        `json:"stopSequences,omitempty"`
	Presence    *float64        `json:"presencePenalty,omitempty"`
	Frequency   *float64        `json:"frequencyPenalty,omitempty"`
	Seed        *int64          `json:"seed,omitempty"`
	MIME        string          `json:"responseMimeType,omitempty"`
	Schema      json.RawMessage `json:"responseJsonSchema,omitempty"`
	Thinking    *thinking       `json:"thinkingConfig,omitempty"`
}

type thinking struct {
	Include bool   `json:"includeThoughts,omitempty"`
	Budget  *int   `json:"thinkingBudget,omitempty"`
	Level   string `json:"thinkingLevel,omitempty"`
}

// encode renders a task. fault.Unsupported: it holds what Gemini does not take.
func (a *Agent) encode(task agent.Task) ([]byte, error) {
	r := task.Request
	s := r.Sampling()
	out := request{Generation: generation{
		Temperature: s.Temperature, TopP: s.TopP, Presence: s.PresencePenalty, Frequency: s.FrequencyPenalty, Seed: s.Seed,
		MaxTokens: r.MaxTokens, Stop: r.Stop, Thinking: a.thinking(task.Model, s.ReasoningEffort),
	}}
	names := map[string]string{} // of the functions, by their calls' ids
	for i := range task.Messages {
		if err := a.add(&out, &task.Messages[i], names, fmt.Sprintf("messages[%d]", i)); err != nil {
			return nil, err
		}
	}
	if len(r.Tools) > 0 {
		var set toolSet
		for _, t := range r.Tools {
			if t.Custom {
				return nil, fault.New(fault.Unsupported, "This agent takes no custom tools.").WithCode("unsupported_parameter").WithParam("tools")
			}
			set.Functions = append(set.Functions, function{t.Name, t.Description, t.Parameters})
		}
		out.Tools = []toolSet{set}
		out.ToolConfig = chosen(r.ToolChoice)
	}
	switch r.Format.Kind {
	case chat.JSONSchema:
		out.Generation.MIME, out.Generation.Schema = "application/json", r.Format.Schema
	case chat.JSONObject:
		out.Generation.MIME = "application/json"
	}
	return json.Marshal(out)
}

// budgets are what OpenAI's efforts mean to models that count their thinking in
// tokens: Google's own mapping for its OpenAI-compatible API.
var budgets = map[string]int{"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}

// thinking says how much to think. Models from Gemini 3 on are told a level,
// those before a budget.
func (a *Agent) thinking(model, effort string) *thinking {
	if !strings.HasPrefix(model, "gemini-2.5") && !strings.HasPrefix(model, "gemini-3") {
		return nil // older ones refuse to be told
	}
	t := &thinking{Include: a.o.Thoughts}
	switch {
	case effort == "":
	case strings.HasPrefix(model, "gemini-3"):
		t.Level = "high"
		if effort == "none" || effort == "minimal" || effort == "low" {
			t.Level = "low"
		}
	default:
		b := budgets[effort]
		t.Budget = &b
		t.Include = t.Include && b > 0
	}
	return t
}

// add appends a message; those of one role become one.
func (a *Agent) add(r *request, m *chat.Message, names map[string]string, at string) error {
	role := "user"
	var parts []part
	switch {
	case m.Role.Instructs():
		if r.System == nil {
			r.System = &content{}
		}
		r.System.Parts = append(r.System.Parts, part{Text: m.Text()})
		return nil
	case m.Role == chat.Tool || m.Role == chat.Function:
		name := names[m.ToolCallID]
		if name == "" {
			name = m.Name
		}
		parts = []part{{Response: &response{name, result(m.Text())}}}
	default:
		for j, p := range m.Parts {
			out, err := media(p)
			if err != nil {
				return fault.As(err).WithParam(fmt.Sprintf("%s.content[%d]", at, j))
			}
			if out != (part{}) {
				parts = append(parts, out)
			}
		}
		if m.Role == chat.Assistant {
			role = "model"
			if m.Refusal != "" {
				parts = append(parts, part{Text: m.Refusal})
			}
			for i, c := range m.ToolCalls {
				names[c.ID] = c.Name
				args := json.RawMessage(c.Arguments)
				if !json.Valid(args) || !strings.HasPrefix(strings.TrimSpace(c.Arguments), "{") {
					args = json.RawMessage(`{}`)
				}
				out := part{Call: &call{c.Name, args}, Signature: a.marks.of(c.ID)}
				if out.Signature == "" && i == 0 {
					out.Signature = unsigned
				}
				parts = append(parts, out)
			}
		}
	}
	if len(parts) == 0 {
		return nil
	}
	if n := len(r.Contents); n > 0 && r.Contents[n-1].Role == role {
		r.Contents[n-1].Parts = append(r.Contents[n-1].Parts, parts...)
		return nil
	}
	r.Contents = append(r.Contents, content{role, parts})
	return nil
}

// unsigned stands, by Google's documentation, for the signature of a call that
// the model did not make, or whose signature is lost.
const unsigned = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=" // skip_thought_signature_validator

// result is a tool's result as an object, which Gemini wants.
func result(text string) map[string]any {
	var o map[string]any
	if json.Unmarshal([]byte(text), &o) == nil && o != nil {
		return o
	}
	return map[string]any{"result": text}
}

// media renders a content part; the zero part says nothing.
func media(p chat.Part) (part, error) {
	no := fault.New(fault.Unsupported, "This agent does not take this content of type %s.", p.Kind).WithCode("unsupported_value")
	var in struct {
		Image struct{ URL string }          `json:"image_url"`
		Audio struct{ Data, Format string } `json:"input_audio"`
		File  struct {
			Data string `json:"file_data"`
		} `json:"file"`
	}
	switch p.Kind {
	case chat.TextPart, chat.RefusalPart:
		return part{Text: p.Text}, nil
	}
	if err := json.Unmarshal(p.JSON, &in); err != nil {
		return part{}, fault.Wrap(fault.Internal, err, "A content part could not be read.")
	}
	switch p.Kind {
	case chat.AudioPart:
		return part{Inline: &blob{"audio/" + in.Audio.Format, in.Audio.Data}}, nil
	case chat.FilePart:
		if b := inline(in.File.Data); b != nil {
			return part{Inline: b}, nil
		}
	case chat.ImagePart:
		if b := inline(in.Image.URL); b != nil {
			return part{Inline: b}, nil
		}
		where, _, _ := strings.Cut(in.Image.URL, "?")
		mime := map[string]string{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"}[strings.ToLower(path.Ext(where))]
		if mime != "" {
			return part{File: &file{mime, in.Image.URL}}, nil
		}
		return part{}, no.WithHint("Send the image as a data: URL, or one whose name tells its format.")
	}
	return part{}, no
}

// inline takes a data: URL apart; nil if it is none in base64.
func inline(u string) *blob {
	rest, ok := strings.CutPrefix(u, "data:")
	mime, data, base64 := strings.Cut(rest, ";base64,")
	if !ok || !base64 {
		return nil
	}
	return &blob{mime, data}
}

// chosen renders a tool choice; nil where the client did not choose.
func chosen(raw json.RawMessage) *config {
	var (
		out   config
		word  string
		named struct{ Function struct{ Name string } }
	)
	switch {
	case json.Unmarshal(raw, &word) == nil && word == "required":
		out.Calling.Mode = "ANY"
	case word == "none":
		out.Calling.Mode = "NONE"
	case word == "" && json.Unmarshal(raw, &named) == nil && named.Function.Name != "":
		out.Calling.Mode, out.Calling.Allowed = "ANY", []string{named.Function.Name}
	default:
		return nil
	}
	return &out
}

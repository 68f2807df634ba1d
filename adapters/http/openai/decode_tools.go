package openai

import (
	"fmt"
	"strings"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

func (d *decoder) tools() error {
	if d.r.Kind() != '[' {
		return d.mistyped("tools", "an array")
	}
	return d.r.Array(func(n int) error {
		if n >= chat.MaxTools {
			return fault.Invalidf("tools", "array_too_long", "tools may hold at most %d tools.", chat.MaxTools)
		}
		if d.r.Kind() != '{' {
			return d.mistyped(fmt.Sprintf("tools[%d]", n), "an object")
		}
		var (
			spec chat.ToolSpec
			kind string
			body = map[string]bool{}
		)
		if err := d.r.Object(func(name []byte) error {
			switch key := string(name); key {
			case "type":
				return d.text(fmt.Sprintf("tools[%d].type", n), &kind)
			case "function", "custom":
				body[key] = true
				return d.function(fmt.Sprintf("tools[%d].%s", n, key), &spec)
			default:
				_, err := d.r.Value()
				return err
			}
		}); err != nil {
			return err
		}
		if kind != "function" && kind != "custom" {
			return fault.Invalidf("tools", "invalid_value", "Invalid value for 'tools[%d].type': '%s'. It must be function or custom.", n, clip(kind))
		}
		if !body[kind] {
			return fault.Invalidf(fmt.Sprintf("tools[%d].%s", n, kind), "missing_required_parameter", "Missing required parameter: 'tools[%d].%s'.", n, kind)
		}
		spec.Custom = kind == "custom"
		d.req.Tools = append(d.req.Tools, spec)
		return nil
	})
}

// function reads the description of a function or custom tool.
func (d *decoder) function(at string, spec *chat.ToolSpec) error {
	if d.r.Kind() != '{' {
		return d.mistyped(at, "an object")
	}
	if err := d.r.Object(func(name []byte) (err error) {
		if d.r.Kind() == 'n' {
			return d.r.Null()
		}
		switch string(name) {
		case "name":
			return d.text(at+".name", &spec.Name)
		case "description":
			return d.text(at+".description", &spec.Description)
		case "strict":
			return d.bool(at+".strict", &spec.Strict)
		case "parameters":
			if d.r.Kind() != '{' {
				return d.mistyped(at+".parameters", "an object")
			}
			var raw []byte
			raw, err = d.r.Value()
			spec.Parameters = raw
			return err
		default:
			_, err := d.r.Value()
			return err
		}
	}); err != nil {
		return err
	}
	if !toolName(spec.Name) {
		return fault.Invalidf(at+".name", "invalid_value", "Invalid value for '%s.name': it must have 1 to 64 letters, digits, underscores or hyphens.", at)
	}
	return nil
}

func toolName(s string) bool {
	for _, c := range []byte(s) {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// functions reads the deprecated form of tools.
func (d *decoder) functions() error {
	if d.r.Kind() != '[' {
		return d.mistyped("functions", "an array")
	}
	return d.r.Array(func(n int) error {
		if n >= chat.MaxTools {
			return fault.Invalidf("functions", "array_too_long", "functions may hold at most %d functions.", chat.MaxTools)
		}
		var spec chat.ToolSpec
		if err := d.function(fmt.Sprintf("functions[%d]", n), &spec); err != nil {
			return err
		}
		d.req.Functions = true
		d.req.Tools = append(d.req.Tools, spec)
		return nil
	})
}

func (d *decoder) offers(name string, custom bool) bool {
	for _, t := range d.req.Tools {
		if t.Name == name && t.Custom == custom {
			return true
		}
	}
	return false
}

func badChoice(param, why string) error {
	return fault.Invalidf(param, "invalid_value", "Invalid value for '%s': %s.", param, why)
}

// checkToolChoice reads tool_choice once the tools are known.
func (d *decoder) checkToolChoice() error {
	sub := decoder{r: *jsontext.NewReader(d.toolChoice), req: d.req}
	var kind string
	switch sub.r.Kind() {
	case '"':
		if err := sub.text("tool_choice", &kind); err != nil {
			return err
		}
		if kind != "none" && kind != "auto" && kind != "required" {
			return badChoice("tool_choice", "'"+clip(kind)+"' is none of none, auto, required")
		}
		if kind != "none" && len(d.req.Tools) == 0 {
			return badChoice("tool_choice", "it is only allowed when tools are given")
		}
	case '{':
		var name string
		if err := sub.r.Object(func(key []byte) error {
			switch k := string(key); k {
			case "type":
				return sub.text("tool_choice.type", &kind)
			case "function", "custom":
				return sub.name("tool_choice."+k, &name)
			default:
				_, err := sub.r.Value()
				return err
			}
		}); err != nil {
			return err
		}
		switch kind {
		case "allowed_tools":
			if len(d.req.Tools) == 0 {
				return badChoice("tool_choice", "it is only allowed when tools are given")
			}
		case "function", "custom":
			if !d.offers(name, kind == "custom") {
				return badChoice("tool_choice", "no tool '"+clip(name)+"' is offered")
			}
		default:
			return badChoice("tool_choice", "its type must be function, custom or allowed_tools")
		}
	default:
		return wrongType("tool_choice", "a string or an object")
	}
	d.req.ToolChoice = d.toolChoice
	return nil
}

// checkFunctionCall reads the deprecated form of tool_choice.
func (d *decoder) checkFunctionCall() error {
	sub := decoder{r: *jsontext.NewReader(d.functionCall), req: d.req}
	switch sub.r.Kind() {
	case '"':
		var mode string
		if err := sub.text("function_call", &mode); err != nil {
			return err
		}
		if mode != "none" && mode != "auto" {
			return badChoice("function_call", "'"+clip(mode)+"' is neither none nor auto")
		}
	case '{':
		var name string
		if err := sub.name("function_call", &name); err != nil {
			return err
		}
		if !d.offers(name, false) {
			return badChoice("function_call", "no function '"+clip(name)+"' is offered")
		}
	default:
		return wrongType("function_call", "a string or an object")
	}
	d.req.ToolChoice = d.functionCall
	return nil
}

// name reads an object's member "name".
func (d *decoder) name(at string, into *string) error {
	if d.r.Kind() != '{' {
		return d.mistyped(at, "an object")
	}
	return d.r.Object(func(key []byte) error {
		if string(key) == "name" {
			return d.text(at+".name", into)
		}
		_, err := d.r.Value()
		return err
	})
}

func (d *decoder) format() error {
	if d.r.Kind() != '{' {
		return d.mistyped("response_format", "an object")
	}
	var (
		f      = &d.req.Format
		schema bool
	)
	if err := d.r.Object(func(name []byte) error {
		switch string(name) {
		case "type":
			var kind string
			err := d.text("response_format.type", &kind)
			f.Kind = chat.FormatKind(kind)
			return err
		case "json_schema":
			schema = true
			return d.schema(f)
		default:
			_, err := d.r.Value()
			return err
		}
	}); err != nil {
		return err
	}
	switch f.Kind {
	case chat.PlainText, chat.JSONObject:
		return nil
	case chat.JSONSchema:
		if !schema {
			return fault.Invalidf("response_format", "missing_required_parameter", "Missing required parameter: 'response_format.json_schema'.")
		}
		if !toolName(f.Name) {
			return fault.Invalidf("response_format.json_schema.name", "invalid_value", "Invalid value for 'response_format.json_schema.name': it must have 1 to 64 letters, digits, underscores or hyphens.")
		}
		return nil
	case "":
		return fault.Invalidf("response_format.type", "missing_required_parameter", "Missing required parameter: 'response_format.type'.")
	default:
		return fault.Invalidf("response_format.type", "invalid_value", "Invalid value for 'response_format.type': '%s'. It must be one of %s.",
			clip(string(f.Kind)), strings.Join([]string{"text", "json_object", "json_schema"}, ", "))
	}
}

func (d *decoder) schema(f *chat.Format) error {
	const at = "response_format.json_schema"
	if d.r.Kind() != '{' {
		return d.mistyped(at, "an object")
	}
	return d.r.Object(func(name []byte) error {
		if d.r.Kind() == 'n' {
			return d.r.Null()
		}
		switch string(name) {
		case "name":
			return d.text(at+".name", &f.Name)
		case "strict":
			return d.bool(at+".strict", &f.Strict)
		case "schema":
			if d.r.Kind() != '{' {
				return d.mistyped(at+".schema", "an object")
			}
			raw, err := d.r.Value()
			f.Schema = raw
			return err
		default:
			_, err := d.r.Value()
			return err
		}
	})
}

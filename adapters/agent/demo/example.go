package demo

import (
	"encoding/json"
	"strings"
)

// maxDepth ends schemas that contain themselves.
const maxDepth = 16

// schema is the part of JSON Schema that the demo can fill.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"`
	Enum       []any              `json:"enum"`
	Const      any                `json:"const"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	MinItems   int                `json:"minItems"`
	MinLength  int                `json:"minLength"`
	Minimum    float64            `json:"minimum"`
	AnyOf      []*schema          `json:"anyOf"`
	Defs       map[string]*schema `json:"$defs"`
}

// example gives a JSON text that fits simple schemas: types, enums, objects with
// all their properties, arrays. Of what it does not know it gives {}.
func example(text json.RawMessage) string {
	var root schema
	if json.Unmarshal(text, &root) != nil {
		return "{}"
	}
	if root.Type == nil && root.Ref == "" && root.AnyOf == nil {
		root.Type = "object"
	}
	out, err := json.Marshal(root.fill(&root, 0))
	if err != nil {
		return "{}"
	}
	return string(out)
}

func (s *schema) fill(root *schema, depth int) any {
	if s == nil || depth > maxDepth {
		return nil
	}
	switch {
	case s.Ref == "#":
		return root.fill(root, depth+1)
	case s.Ref != "":
		return root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].fill(root, depth+1)
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.AnyOf) > 0:
		return s.shortest().fill(root, depth+1)
	}
	switch s.kind() {
	case "object":
		out := make(map[string]any, len(s.Properties))
		for name, p := range s.Properties {
			out[name] = p.fill(root, depth+1)
		}
		return out
	case "array":
		out := make([]any, 0, 1)
		for range min(max(s.MinItems, 0), maxDepth) {
			out = append(out, s.Items.fill(root, depth+1))
		}
		if len(out) == 0 && depth < maxDepth/4 && s.Items != nil {
			out = append(out, s.Items.fill(root, depth+1))
		}
		return out
	case "string":
		const word = "demo"
		return strings.Repeat(word, min(1+max(s.MinLength-1, 0)/len(word), 1024))
	case "integer", "number":
		return max(s.Minimum, 0)
	case "boolean":
		return true
	default:
		return nil
	}
}

// kind is the type, or the first of several.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		if len(t) > 0 {
			first, _ := t[0].(string)
			return first
		}
	}
	return ""
}

// shortest prefers null, which ends a schema that contains itself.
func (s *schema) shortest() *schema {
	for _, a := range s.AnyOf {
		if a != nil && a.kind() == "null" {
			return a
		}
	}
	return s.AnyOf[0]
}

package configs

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Schema gives the JSON schema (draft 2020-12) of the configuration file. The
// drivers' own options are given by path, such as storage.sqlite or agents.openai.
func Schema(drivers Drivers) ([]byte, error) {
	s := object(reflect.TypeFor[Config](), "", drivers)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "AgentAPI configuration"
	text, err := json.MarshalIndent(s, "", "  ")
	return append(text, '\n'), err
}

// object is the schema of a struct; what stands at path beside its fields are
// the blocks of drivers.
func object(t reflect.Type, path string, drivers Drivers) map[string]any {
	properties := map[string]any{}
	for _, f := range visible(t) {
		p := schemaOf(f.typ, join(path, f.name), drivers)
		if f.doc != "" {
			p["description"] = f.doc
		}
		if f.secret {
			p["writeOnly"] = true
		}
		properties[f.name] = p
	}
	for _, at := range slices.Sorted(maps.Keys(drivers)) {
		if head, name, ok := cutLast(at); ok && head == path {
			properties[name] = object(drivers[at], at, nil)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

func cutLast(path string) (head, last string, ok bool) {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return "", path, false
	}
	return path[:i], path[i+1:], true
}

func schemaOf(t reflect.Type, path string, drivers Drivers) map[string]any {
	if t == reflect.TypeFor[time.Duration]() {
		return map[string]any{"type": "string", "examples": []string{"500ms", "30s", "5m"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), path, drivers)
	case reflect.Struct:
		whole := object(t, path, drivers)
		if s, ok := reflect.Zero(t).Interface().(shorthand); ok {
			return map[string]any{"anyOf": []any{whole["properties"].(map[string]any)[s.Shorthand()], whole}}
		}
		return whole
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), path, drivers)}
	case reflect.Slice:
		list := map[string]any{"type": "array", "items": schemaOf(t.Elem(), path, drivers)}
		if t.Implements(reflect.TypeFor[oneOrMany]()) {
			return map[string]any{"anyOf": []any{schemaOf(t.Elem(), path, drivers), list}}
		}
		return list
	case reflect.Bool:
		return map[string]any{"type": []string{"boolean", "string"}}
	case reflect.Int, reflect.Int64, reflect.Float64:
		return map[string]any{"type": []string{"number", "string"}}
	default:
		return map[string]any{"type": []string{"string", "number", "boolean"}}
	}
}

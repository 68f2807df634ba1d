package configs

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Where string // file:line:col, or the variable's name
	Path  string // such as server.addr
	What  string
}

func (p *Problem) Error() string {
	out := p.What
	if p.Path != "" {
		out = p.Path + ": " + out
	}
	if p.Where != "" && p.Where != "default" {
		out = p.Where + ": " + out
	}
	return out
}

// decoder fills structs from nodes by their yaml tags. It goes on after a
// problem, so that all are found at once.
type decoder struct {
	problems []error
	allowed  map[string]bool // paths of fields that no struct has and somebody else reads
}

func (d *decoder) fail(n *node, path, format string, args ...any) {
	d.problems = append(d.problems, &Problem{Where: n.origin, Path: path, What: fmt.Sprintf(format, args...)})
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *decoder) decode(n *node, path string, into reflect.Value) {
	if n == nil || n.isNull() {
		return
	}
	if into.Type() == durationType {
		d.duration(n, path, into)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		if s, ok := into.Interface().(shorthand); ok && shortened(n, s, into) {
			n = &node{fields: map[string]*node{s.Shorthand(): n}, order: []string{s.Shorthand()}, origin: n.origin}
		}
		d.object(n, path, into)
	case reflect.Map:
		d.mapping(n, path, into)
	case reflect.Slice:
		if _, one := into.Interface().(oneOrMany); one && n.scalar != nil {
			n = &node{list: []*node{n}, origin: n.origin}
		}
		if n.list == nil {
			d.fail(n, path, "must be a list, such as [a, b]")
			return
		}
		out := reflect.MakeSlice(into.Type(), len(n.list), len(n.list))
		for i, item := range n.list {
			d.decode(item, fmt.Sprintf("%s[%d]", path, i), out.Index(i))
		}
		into.Set(out)
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.decode(n, path, into.Elem())
	default:
		d.scalar(n, path, into)
	}
}

// shorthand is an object for one of whose fields, a list or a single value, that alone
// will do.
type shorthand interface{ Shorthand() string }

// shortened tells whether a node is what the field is that it may stand for.
func shortened(n *node, s shorthand, into reflect.Value) bool {
	for _, f := range visible(into.Type()) {
		if f.name == s.Shorthand() {
			return n.list != nil && f.typ.Kind() == reflect.Slice || n.scalar != nil && f.typ.Kind() != reflect.Slice
		}
	}
	return false
}

// oneOrMany is a list for which a single value will do.
type oneOrMany interface{ OneOrMany() }

func (d *decoder) object(n *node, path string, into reflect.Value) {
	if n.fields == nil {
		d.fail(n, path, "must be an object")
		return
	}
	fields := map[string]reflect.Value{}
	for _, f := range visible(into.Type()) {
		fields[f.name] = into.FieldByIndex(f.index)
	}
	for _, key := range n.order {
		at := join(path, key)
		if f, ok := fields[key]; ok {
			d.decode(n.fields[key], at, f)
		} else if !d.allowed[at] {
			d.fail(n.fields[key], at, "unknown key%s", didYouMean(key, slices.Collect(maps.Keys(fields))))
		}
	}
}

func (d *decoder) mapping(n *node, path string, into reflect.Value) {
	if n.fields == nil {
		d.fail(n, path, "must be an object")
		return
	}
	out := reflect.MakeMap(into.Type())
	for _, key := range n.order {
		v := reflect.New(into.Type().Elem()).Elem()
		if withDefaults, ok := v.Addr().Interface().(interface{ SetDefaults() }); ok {
			withDefaults.SetDefaults()
		}
		d.decode(n.fields[key], join(path, key), v)
		out.SetMapIndex(reflect.ValueOf(key).Convert(into.Type().Key()), v)
	}
	into.Set(out)
}

func (d *decoder) scalar(n *node, path string, into reflect.Value) {
	if n.scalar == nil {
		d.fail(n, path, "must be a single value")
		return
	}
	text := *n.scalar
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "1", "yes", "on":
			into.SetBool(true)
		case "false", "0", "no", "off":
			into.SetBool(false)
		default:
			d.fail(n, path, "%q is neither true nor false", text)
		}
	case reflect.Int, reflect.Int64:
		v, err := parseSize(text)
		if err != nil {
			d.fail(n, path, "%q is not a whole number", text)
			return
		}
		into.SetInt(v)
	case reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			d.fail(n, path, "%q is not a number", text)
			return
		}
		into.SetFloat(v)
	default:
		d.fail(n, path, "a field of type %s cannot be configured", into.Type())
	}
}

// parseSize reads a whole number, which may be one of bytes: 32MiB.
func parseSize(text string) (int64, error) {
	for suffix, unit := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if head, ok := strings.CutSuffix(text, suffix); ok {
			v, err := strconv.ParseInt(strings.TrimSpace(head), 10, 32)
			return v * unit, err
		}
	}
	return strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
}

func (d *decoder) duration(n *node, path string, into reflect.Value) {
	if n.scalar == nil {
		d.fail(n, path, "must be a duration, such as 30s")
		return
	}
	text := *n.scalar
	v, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok && err != nil {
		var whole int
		if whole, err = strconv.Atoi(days); err == nil {
			v = time.Duration(whole) * 24 * time.Hour
		}
	}
	if err != nil || v < 0 {
		d.fail(n, path, "%q is not a duration, such as 500ms, 30s, 5m or 2h", text)
		return
	}
	into.SetInt(int64(v))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// field is a struct field that can be configured.
type field struct {
	name   string
	doc    string
	secret bool
	index  []int
	typ    reflect.Type
}

// visible lists a struct's configurable fields, those of embedded structs included.
func visible(t reflect.Type) (out []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",") // an embedded struct's fields are its own
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			for _, inner := range visible(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		case name != "" && name != "-":
			out = append(out, field{name: name, doc: f.Tag.Get("doc"), secret: f.Tag.Get("secret") == "true", index: []int{i}, typ: f.Type})
		}
	}
	return out
}

// didYouMean hints at the name that is spelled most alike, if one is.
func didYouMean(got string, have []string) string {
	slices.Sort(have)
	best, cost := "", 1+len(got)/3
	for _, h := range have {
		if c := distance(got, h); c <= cost && (best == "" || c < cost) {
			best, cost = h, c
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %s?", best)
	case len(have) > 0 && len(have) <= 12:
		return fmt.Sprintf(" (have %s)", strings.Join(have, ", "))
	default:
		return ""
	}
}

// distance is Levenshtein's: the single-byte edits that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			edit := diagonal
			if a[i] != b[j] {
				edit++
			}
			diagonal = row[j+1]
			row[j+1] = min(edit, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// result joins the problems, or is nil.
func (d *decoder) result() error { return errors.Join(d.problems...) }

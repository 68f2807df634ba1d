// Package configs reads the server's configuration: defaults, one YAML file,
// the environment and flags, each over the one before, strictly.
package configs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// node is one value of the configuration and where it comes from. Exactly one of
// the three forms is set; none of them is null.
type node struct {
	scalar *string
	list   []*node
	fields map[string]*node
	order  []string // the fields' names as they came

	quoted bool   // a scalar that was written as a string
	origin string // file:line:col, env NAME, flag, or default
}

func scalar(text, origin string) *node { return &node{scalar: &text, origin: origin} }

// parse reads one YAML document; name is what errors and origins call it.
func parse(name string, text []byte) (*node, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", name, firstLine(err.Error()))
	}
	switch len(file.Docs) {
	case 0:
		return &node{fields: map[string]*node{}, origin: name}, nil
	case 1:
		if file.Docs[0].Body == nil {
			return &node{fields: map[string]*node{}, origin: name}, nil
		}
		return convert(name, file.Docs[0].Body)
	default:
		return nil, fmt.Errorf("%s: it has %d documents; it must have one", name, len(file.Docs))
	}
}

// firstLine gives what the YAML library says first; below is an excerpt of the
// file, which may hold secrets.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func convert(name string, in ast.Node) (*node, error) {
	at := name
	if t := in.GetToken(); t != nil && t.Position != nil {
		at = fmt.Sprintf("%s:%d:%d", name, t.Position.Line, t.Position.Column)
	}
	switch n := in.(type) {
	case *ast.MappingNode:
		return convertFields(name, at, n.Values)
	case *ast.MappingValueNode:
		return convertFields(name, at, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		out := &node{list: []*node{}, origin: at}
		for _, v := range n.Values {
			item, err := convert(name, v)
			if err != nil {
				return nil, err
			}
			out.list = append(out.list, item)
		}
		return out, nil
	case *ast.NullNode:
		return &node{origin: at}, nil
	case *ast.StringNode:
		return &node{scalar: &n.Value, quoted: true, origin: at}, nil
	case *ast.LiteralNode:
		return &node{scalar: &n.Value.Value, quoted: true, origin: at}, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return scalar(in.GetToken().Value, at), nil
	default:
		return nil, fmt.Errorf("%s: anchors, aliases and tags are not supported", at)
	}
}

func convertFields(name, at string, values []*ast.MappingValueNode) (*node, error) {
	out := &node{fields: map[string]*node{}, origin: at}
	for _, v := range values {
		key := v.Key.GetToken().Value
		pos := v.Key.GetToken().Position
		if out.fields[key] != nil {
			return nil, fmt.Errorf("%s:%d:%d: the key %q is there twice", name, pos.Line, pos.Column, key)
		}
		child, err := convert(name, v.Value)
		if err != nil {
			return nil, err
		}
		child.origin = fmt.Sprintf("%s:%d:%d", name, pos.Line, pos.Column)
		out.fields[key] = child
		out.order = append(out.order, key)
	}
	return out, nil
}

// isNull tells whether the value was left empty.
func (n *node) isNull() bool {
	return n.scalar == nil && n.list == nil && n.fields == nil
}

// merge lays over on top of n: objects field by field, all else whole.
func (n *node) merge(over *node) *node {
	if n == nil || n.fields == nil || over.fields == nil {
		return over
	}
	out := &node{fields: maps.Clone(n.fields), order: slices.Clone(n.order), origin: over.origin}
	for _, key := range over.order {
		old, there := out.fields[key]
		if !there {
			out.order = append(out.order, key)
		}
		out.fields[key] = old.merge(over.fields[key])
	}
	return out
}

// set puts a value at a path, making the objects on the way.
func (n *node) set(path []string, v *node) {
	for _, key := range path[:len(path)-1] {
		next := n.fields[key]
		if next == nil || next.fields == nil {
			next = &node{fields: map[string]*node{}, origin: v.origin}
			n.put(key, next)
		}
		n = next
	}
	n.put(path[len(path)-1], v)
}

func (n *node) put(key string, v *node) {
	if _, there := n.fields[key]; !there {
		n.order = append(n.order, key)
	}
	n.fields[key] = v
}

// at finds the value at a dotted path, or nil.
func (n *node) at(path string) *node {
	for key := range strings.SplitSeq(path, ".") {
		if n == nil {
			return nil
		}
		n = n.step(key)
	}
	return n
}

// step is the field, or where key ends in [i] the item of the field's list, that
// key names.
func (n *node) step(key string) *node {
	if f := n.fields[key]; f != nil {
		return f
	}
	name, index, ok := strings.Cut(strings.TrimSuffix(key, "]"), "[")
	list := n.fields[name]
	if i, err := strconv.Atoi(index); ok && err == nil && list != nil && i >= 0 && i < len(list.list) {
		return list.list[i]
	}
	return nil
}

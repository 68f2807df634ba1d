// Package driver chooses adapters by the name that the configuration gives.
package driver

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Options decodes one adapter's own part of the configuration, strictly.
type Options func(into any) error

// Driver can open one implementation of port P.
type Driver[P any] struct {
	Name    string
	Options reflect.Type // what it reads of the configuration
	Open    func(o Options) (P, error)
}

// Set is the drivers of one port.
type Set[P any] map[string]Driver[P]

// NewSet indexes drivers by name.
func NewSet[P any](all []Driver[P]) (Set[P], error) {
	s := make(Set[P], len(all))
	for _, d := range all {
		if _, dup := s[d.Name]; dup {
			return nil, fmt.Errorf("two drivers are named %q", d.Name)
		}
		s[d.Name] = d
	}
	return s, nil
}

// Open opens the driver called name for the configuration entry at path.
func (s Set[P]) Open(path, name string, o Options) (P, error) {
	d, ok := s[name]
	if !ok {
		var none P
		return none, fmt.Errorf("%s: unknown driver %q (have %s)", path, name, strings.Join(slices.Sorted(maps.Keys(s)), ", "))
	}
	p, err := d.Open(o)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// For makes a Driver of a typed constructor, so that adapters know neither fx nor
// this package. O may have SetDefaults and Validate methods on its pointer.
func For[P, O any](name string, open func(O) (P, error)) Driver[P] {
	return Driver[P]{Name: name, Options: reflect.TypeFor[O](), Open: func(decode Options) (P, error) {
		var (
			o    O
			none P
		)
		if d, ok := any(&o).(interface{ SetDefaults() }); ok {
			d.SetDefaults()
		}
		if err := decode(&o); err != nil {
			return none, err
		}
		if v, ok := any(&o).(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return none, err
			}
		}
		return open(o)
	}}
}

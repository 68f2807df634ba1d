package driver

import (
	"context"
	"fmt"

	"go.uber.org/fx"

	"agentapi/configs"
)

// Provide adds a driver to the group of its port. ctor is a function of any of
// the application's parts that returns a Driver.
func Provide(group string, ctor any) fx.Option {
	return fx.Provide(fx.Annotate(ctor, fx.ResultTags(`group:"`+group+`"`)))
}

// Slot provides the P whose driver the configuration names at path.driver. What
// the driver opens is started and stopped with the application.
func Slot[P any](group, path string) fx.Option {
	return fx.Provide(fx.Annotate(func(all []Driver[P], c *configs.Config, life fx.Lifecycle) (P, error) {
		set, err := NewSet(all)
		if err != nil {
			var none P
			return none, err
		}
		p, err := set.At(c, path)
		if err == nil {
			Hook(life, p)
		}
		return p, err
	}, fx.ParamTags(`group:"`+group+`"`)))
}

// At opens the P that the configuration describes at path, with the driver that it
// names there.
func (s Set[P]) At(c *configs.Config, path string) (P, error) {
	var name string
	if err := c.Decode(path+".driver", &name); err != nil {
		var none P
		return none, err
	}
	return s.Open(c.Where(path+".driver")+": "+path, name, func(into any) error { return c.Decode(path+"."+name, into) })
}

// Chain provides a P for each driver that is listed, in that order.
func Chain[P any](group, path string, names func(*configs.Config) []string) fx.Option {
	return fx.Provide(fx.Annotate(func(all []Driver[P], c *configs.Config, life fx.Lifecycle) ([]P, error) {
		var out []P
		for i, name := range names(c) {
			p, err := open(all, c, life, fmt.Sprintf("%s.chain[%d]", path, i), name, path+"."+name)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	}, fx.ParamTags(`group:"`+group+`"`)))
}

func open[P any](all []Driver[P], c *configs.Config, life fx.Lifecycle, path, name, options string) (P, error) {
	set, err := NewSet(all)
	if err != nil {
		var none P
		return none, err
	}
	p, err := set.Open(c.Where(path+".driver")+": "+path, name, func(into any) error { return c.Decode(options, into) })
	if err == nil {
		Hook(life, p)
	}
	return p, err
}

// Hook has the application start and stop p, if it can be.
func Hook(life fx.Lifecycle, p any) {
	var h fx.Hook
	if s, ok := p.(interface{ Start(context.Context) error }); ok {
		h.OnStart = s.Start
	}
	if s, ok := p.(interface{ Stop(context.Context) error }); ok {
		h.OnStop = s.Stop
	}
	if h.OnStart != nil || h.OnStop != nil {
		life.Append(h)
	}
}

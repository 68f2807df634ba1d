package configs

import (
	"maps"
	"slices"
)

// Allowances configures what callers may use. All that hold for a request hold
// together.
type Allowances struct {
	Platform     Allowance            `yaml:"platform" doc:"what all may use together"`
	Organization Allowance            `yaml:"organization" doc:"what the users of one organisation may use together"`
	User         Allowance            `yaml:"user" doc:"what one user may use, with all keys"`
	APIKey       Allowance            `yaml:"api_key" doc:"what may be used with one API key"`
	Models       map[string]Allowance `yaml:"models" doc:"what all may use of a model together, by alias, bare id or agent/model"`
	Instances    int                  `yaml:"instances" doc:"how many servers share the limits: while Redis is away each keeps its part of them"`
}

// Allowance is what one may use; nothing is limited that is absent.
type Allowance struct {
	RequestsPerMinute int64 `yaml:"requests_per_minute" doc:"all of them at once, and again evenly within a minute"`
	RequestsPerDay    int64 `yaml:"requests_per_day" doc:"likewise within 24 hours"`
	TokensPerMinute   int64 `yaml:"tokens_per_minute" doc:"of prompts and answers; what a request may use is taken when it begins, and what it has not used comes back when it ends"`
	TokensPerDay      int64 `yaml:"tokens_per_day" doc:"likewise within 24 hours"`
	Concurrent        int64 `yaml:"concurrent" doc:"requests that run at once"`
	Processes         int64 `yaml:"processes" doc:"requests at once that run a program of an agent's (exec, droid)"`
}

// validate checks the numbers, with bad to tell what is wrong.
func (a *Allowances) validate(bad func(path, format string, args ...any)) {
	one := func(path string, of Allowance) {
		for _, n := range []struct {
			name string
			n    int64
		}{
			{"requests_per_minute", of.RequestsPerMinute}, {"requests_per_day", of.RequestsPerDay},
			{"tokens_per_minute", of.TokensPerMinute}, {"tokens_per_day", of.TokensPerDay}, {"concurrent", of.Concurrent},
			{"processes", of.Processes},
		} {
			if n.n < 0 {
				bad("limits."+path+"."+n.name, "must not be negative; leave it out where nothing is limited")
			}
		}
	}
	one("platform", a.Platform)
	one("organization", a.Organization)
	one("user", a.User)
	one("api_key", a.APIKey)
	for _, name := range slices.Sorted(maps.Keys(a.Models)) {
		one("models."+name, a.Models[name])
	}
	if a.Instances < 1 {
		bad("limits.instances", "must be at least 1")
	}
}

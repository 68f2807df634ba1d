package configs

import (
	"time"
)

// Agent configures one agent. What its driver reads stands beside, under the
// driver's name.
type Agent struct {
	Driver  string  `yaml:"driver" doc:"which driver to use"`
	Models  []Model `yaml:"models" doc:"the agent's own ids of its models; one that ends in * is a prefix; empty: the agent is asked"`
	Limits  Limits  `yaml:"limits"`
	Breaker Breaker `yaml:"breaker"`
	Health  Watch   `yaml:"health"`
}

// Model configures a model of an agent.
type Model struct {
	ID      string `yaml:"id" doc:"the agent's own id of it; it alone may stand in the model's place"`
	Context int    `yaml:"context" doc:"tokens of a prompt and its answer at most; what surely does not fit is refused, or goes to another that has the room; 0: not known"`
	Output  int    `yaml:"output" doc:"tokens of an answer at most; a request that asks for more is refused, or goes to another; 0: not known"`
}

// Shorthand is the field that an id in the model's place stands for.
func (Model) Shorthand() string { return "id" }

// SetDefaults fills in what an agent's configuration may leave out.
func (a *Agent) SetDefaults() {
	a.Limits = Limits{Queue: 10 * time.Second, FirstEvent: 2 * time.Minute, Idle: 2 * time.Minute, Total: 15 * time.Minute}
	a.Breaker = Breaker{Failures: 5, Within: 30 * time.Second, Open: 15 * time.Second}
	a.Health = Watch{Interval: 30 * time.Second, Timeout: 5 * time.Second, Failures: 3, Successes: 2}
}

// Limits bounds what an agent may take.
type Limits struct {
	Concurrent int           `yaml:"concurrent" doc:"answers at once; more wait for a place, for queue; 0: as many as come"`
	Queue      time.Duration `yaml:"queue" doc:"how long a request may wait for a place"`
	FirstEvent time.Duration `yaml:"first_event" doc:"how long an agent may take to begin its answer"`
	Idle       time.Duration `yaml:"idle" doc:"how long an agent may be silent within its answer"`
	Total      time.Duration `yaml:"total" doc:"how long an answer may take in all"`
}

// Breaker configures when an agent that keeps failing is left alone.
type Breaker struct {
	Failures int           `yaml:"failures" doc:"failures of a model, within the time, that open its breaker"`
	Within   time.Duration `yaml:"within" doc:"the time in which failures are counted"`
	Open     time.Duration `yaml:"open" doc:"how long a model is left alone then"`
}

// Watch configures how an agent is watched. Runs count as probes do.
type Watch struct {
	Interval  time.Duration `yaml:"interval" doc:"between two probes, a tenth more or less; a probe calls no model"`
	Timeout   time.Duration `yaml:"timeout" doc:"for one probe"`
	Failures  int           `yaml:"failures" doc:"failures in a row, of probes and runs, that make an agent unhealthy, so that it is asked last; the first makes it degraded"`
	Successes int           `yaml:"successes" doc:"successes in a row that make it healthy again"`
}

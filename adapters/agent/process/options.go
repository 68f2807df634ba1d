// Package process runs agents that are programs: it starts them with nothing of
// the server's environment, reads their output line by line within limits, and
// ends them with everything that they started.
//
// What a request says reaches a program on its standard input only.
package process

import (
	"os/exec"
	"strings"
	"time"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// Options say which program is run, and how.
type Options struct {
	// Command is the program and its arguments; no shell reads it. The program
	// runs in a folder of its own, so files among them need absolute paths.
	Command []string `yaml:"command"`
	// Env is added to the little that a program gets: PATH, HOME, TMPDIR, LANG.
	Env map[string]string `yaml:"env"`
	// Dir is the working folder; an empty one of each run's own if absent.
	Dir    string `yaml:"dir"`
	Limits Limits `yaml:"limits"`
}

// Limits bound one program and all of them together.
type Limits struct {
	Concurrent int           `yaml:"concurrent"` // programs that run at once
	Queue      int           `yaml:"queue"`      // runs that wait for their turn
	QueueWait  time.Duration `yaml:"queue_wait"` // how long one waits
	Line       int           `yaml:"line"`       // bytes of a line of output
	Output     int64         `yaml:"output"`     // bytes of all output of a run
	Idle       time.Duration `yaml:"idle"`       // silence
	Total      time.Duration `yaml:"total"`      // a whole run
}

// SetDefaults fills in what is not given.
func (o *Options) SetDefaults() {
	o.Limits = Limits{
		Concurrent: 8, Queue: 32, QueueWait: 10 * time.Second,
		Line: 1 << 20, Output: 16 << 20, Idle: 2 * time.Minute, Total: 15 * time.Minute,
	}
}

// Validate refuses what cannot run.
func (o *Options) Validate() error {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return fault.Invalidf("command", "missing_required_parameter", "command must name a program.")
	}
	for name, value := range o.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") || name == marker {
			return fault.Invalidf("env", "invalid_value", "%q cannot be set in a program's environment.", name)
		}
	}
	l := o.Limits
	if l.Concurrent < 1 || l.Queue < 0 || l.QueueWait < 0 || l.Line < 1 || l.Output < 1 || l.Idle <= 0 || l.Total <= 0 {
		return fault.Invalidf("limits", "out_of_range", "limits must be positive.")
	}
	return nil
}

// Runner runs one program, many times. It is safe for concurrent use.
type Runner struct {
	o       Options
	running chan struct{}
	waiting chan struct{}
	told    ports.Programs // nil: nobody
}

// Tell has it told when a program starts and has ended. It comes before the first.
func (r *Runner) Tell(p ports.Programs) { r.told = p }

// New makes a runner; it starts nothing.
func New(o Options) (*Runner, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Runner{
		o: o, running: make(chan struct{}, o.Limits.Concurrent), waiting: make(chan struct{}, o.Limits.Concurrent+o.Limits.Queue),
	}, nil
}

// Running is how many programs there are, those that start or end included.
func (r *Runner) Running() int { return len(r.running) }

// Probe says whether the program is there, without running it.
func (r *Runner) Probe() error {
	if _, err := exec.LookPath(r.o.Command[0]); err != nil {
		return missing(err)
	}
	return nil
}

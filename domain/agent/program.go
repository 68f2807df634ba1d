package agent

import (
	"time"

	"agentapi/domain/tenancy"
)

// Program is a program of an agent's that is started, as it is recorded: of its
// arguments there is a hash only.
type Program struct {
	ID    string        // of this run of it
	Argv  [32]byte      // SHA-256 of the arguments, the program's name first, each with a zero byte behind it
	For   tenancy.Scope // who it works for; zero: for all
	Bytes int64         // that it may say
	Idle  time.Duration // of silence; 0: no limit
	Total time.Duration // of its whole run; 0: no limit
}

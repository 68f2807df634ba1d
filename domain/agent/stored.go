package agent

import "agentapi/domain/id"

type (
	agentKind struct{}
	modelKind struct{}

	// ID identifies an agent of the platform; it is made of the name.
	ID = id.ID[agentKind]
	// ModelID identifies a model of an agent; it is made of both names.
	ModelID = id.ID[modelKind]
)

func (agentKind) Prefix() string { return "agent" }
func (modelKind) Prefix() string { return "model" }

// IDOf gives the id of the agent of that name, always the same.
func IDOf(n Name) ID { return id.Named[agentKind](string(n)) }

// ModelIDOf gives the id of an agent's model, always the same.
func ModelIDOf(n Name, model string) ModelID {
	return id.Named[modelKind](string(n) + "\x00" + model)
}

// Described is an agent as the configuration has it.
type Described struct {
	Name   Name
	Type   string // the driver's name
	Config string // its settings as a JSON object, without what is secret
	Models []Model
}

// Stored is what is stored of an agent. Models are those that are enabled, by id.
type Stored struct {
	Described
	Enabled bool   // it is configured
	Health  Health // the zero value: it was not observed
}

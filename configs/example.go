package configs

import _ "embed"

//go:embed example.yaml
var example []byte

// Example is a commented configuration file to start from.
func Example() []byte { return example }

package configs

import (
	_ "embed"

	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var openAPI []byte

//go:embed llms.txt
var llms []byte

// LLMs tells language models of the API, in the form of llmstxt.org.
func LLMs() []byte { return llms }

// OpenAPI is the description of everything that is served, as YAML.
func OpenAPI() []byte { return openAPI }

// OpenAPIJSON is the same as JSON, its members in the same order.
func OpenAPIJSON() ([]byte, error) { return yaml.YAMLToJSON(openAPI) }

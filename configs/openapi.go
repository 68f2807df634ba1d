package configs

import (
	_ "embed"

	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the description of everything that is served, as YAML.
func OpenAPI() []byte { return openAPI }

// OpenAPIJSON is the same as JSON, its members in the same order.
func OpenAPIJSON() ([]byte, error) { return yaml.YAMLToJSON(openAPI) }

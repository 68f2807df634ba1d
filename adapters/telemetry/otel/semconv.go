//go:build !nootel

package otel

// The names of OpenTelemetry's conventions for models, which are still in motion: they
// stand here alone.
const (
	operation      = "gen_ai.operation.name"
	provider       = "gen_ai.provider.name"
	requestModel   = "gen_ai.request.model"
	requestStream  = "gen_ai.request.stream"
	temperature    = "gen_ai.request.temperature"
	topP           = "gen_ai.request.top_p"
	maxTokens      = "gen_ai.request.max_tokens"
	seed           = "gen_ai.request.seed"
	finishReasons  = "gen_ai.response.finish_reasons"
	firstChunk     = "gen_ai.response.time_to_first_chunk"
	inputTokens    = "gen_ai.usage.input_tokens"
	outputTokens   = "gen_ai.usage.output_tokens"
	cachedTokens   = "gen_ai.usage.cache_read.input_tokens"
	thoughtTokens  = "gen_ai.usage.reasoning.output_tokens"
	conversation   = "gen_ai.conversation.id"
	agentName      = "gen_ai.agent.name"
	serverAddress  = "server.address"
	serverPort     = "server.port"
	errorType      = "error.type"
	requestMethod  = "http.request.method"
	route          = "http.route"
	responseStatus = "http.response.status_code"
	system         = "db.system.name"
	dbOperation    = "db.operation.name"
)

// providers are the conventions' names of those whom drivers speak to.
var providers = map[string]string{"openai": "openai", "vertex": "gcp.vertex_ai"}

// operationOf is chat where a driver asks a model, and invoke_agent where it runs an
// agent's program.
func operationOf(driver string) string {
	switch driver {
	case "exec", "ccr", "droid":
		return "invoke_agent"
	default:
		return "chat"
	}
}

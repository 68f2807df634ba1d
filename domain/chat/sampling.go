package chat

import "encoding/json"

// Sampling is the values of the parameters that change the manner of an answer.
// Nil and empty mean that the client did not say.
type Sampling struct {
	Temperature       *float64 `json:"temperature"`
	TopP              *float64 `json:"top_p"`
	PresencePenalty   *float64 `json:"presence_penalty"`
	FrequencyPenalty  *float64 `json:"frequency_penalty"`
	Seed              *int64   `json:"seed"`
	ReasoningEffort   string   `json:"reasoning_effort"`
	ParallelToolCalls *bool    `json:"parallel_tool_calls"`
}

// Sampling reads the values from the request as it came. They were checked when
// it was decoded.
func (r *Request) Sampling() (s Sampling) {
	_ = json.Unmarshal(r.Raw, &s) // a request that was made here has none
	return s
}

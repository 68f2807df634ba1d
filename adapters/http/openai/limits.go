package openai

import (
	"time"

	"github.com/valyala/fasthttp"

	"agentapi/adapters/http/request"
	"agentapi/application/limits"
	"agentapi/domain/quota"
)

// standings says how the caller stands with regard to the limits, by OpenAI's headers.
func standings(h *fasthttp.ResponseHeader, s limits.Standings) {
	standing(h, "Requests", s.Requests)
	standing(h, "Tokens", s.Tokens)
}

func standing(h *fasthttp.ResponseHeader, of string, s quota.Standing) {
	if s.Limit == 0 {
		return
	}
	request.PutInt(h, "X-Ratelimit-Limit-"+of, s.Limit)
	request.PutInt(h, "X-Ratelimit-Remaining-"+of, s.Remaining)
	request.Put(h, "X-Ratelimit-Reset-"+of, s.Reset.Round(time.Millisecond).String())
}

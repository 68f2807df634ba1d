package openai

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"agentapi/application/limits"
	"agentapi/domain/quota"
)

// standings says how the caller stands with regard to the limits, by OpenAI's headers.
func standings(h *fasthttp.ResponseHeader, s limits.Standings) {
	standing(h, "requests", s.Requests)
	standing(h, "tokens", s.Tokens)
}

func standing(h *fasthttp.ResponseHeader, of string, s quota.Standing) {
	if s.Limit == 0 {
		return
	}
	var small [24]byte
	h.SetBytesV("X-Ratelimit-Limit-"+of, strconv.AppendInt(small[:0], s.Limit, 10))
	h.SetBytesV("X-Ratelimit-Remaining-"+of, strconv.AppendInt(small[:0], s.Remaining, 10))
	h.Set("X-Ratelimit-Reset-"+of, s.Reset.Round(time.Millisecond).String())
}

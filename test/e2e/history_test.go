package e2e

import (
	"math"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// seeded gives the number that decides what a test does at random: that of
// AGENTAPI_TEST_SEED, to do the same again, or another each time.
func seeded(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("AGENTAPI_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("AGENTAPI_TEST_SEED=%d does the same again", seed)
	return seed
}

// history is what clients asked and were told, and when. It is safe for concurrent use.
type history struct {
	mu    sync.Mutex
	began time.Time
	all   []porcupine.Operation
}

func newHistory() *history { return &history{began: time.Now()} }

// note keeps one exchange, which has begun at a time and ends now.
func (h *history) note(client int, asked, told any, at time.Time) {
	h.keep(porcupine.Operation{ClientId: client, Input: asked, Output: told, Call: at.Sub(h.began).Nanoseconds(), Return: time.Since(h.began).Nanoseconds()})
}

// unknown keeps one whose end nobody knows: it may take place at any time yet.
func (h *history) unknown(client int, asked, told any, at time.Time) {
	h.keep(porcupine.Operation{ClientId: client, Input: asked, Output: told, Call: at.Sub(h.began).Nanoseconds(), Return: math.MaxInt64})
}

func (h *history) keep(o porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, o)
}

// linearizable holds each part of a history to having an order in which the model
// allows it.
func (h *history) linearizable(t *testing.T, m porcupine.Model) {
	t.Helper()
	parts := [][]porcupine.Operation{h.all}
	if m.Partition != nil {
		parts = m.Partition(h.all)
	}
	for _, part := range parts {
		if got := porcupine.CheckOperationsTimeout(m, part, time.Minute); got != porcupine.Ok {
			t.Errorf("%d exchanges of %d are not linearizable (%s):", len(part), len(h.all), got)
			for _, o := range part {
				t.Logf("client %d, %v to %v ns: %+v: %+v", o.ClientId, o.Call, o.Return, o.Input, o.Output)
			}
		}
	}
}

// answered is what was told to a request with a key.
type answered struct {
	id       string // of the completion; empty: nobody knows
	replayed bool
	streamed bool // then it may be another's answer that was joined while it ran
}

// keys is the model of idempotency keys: the first request with a key runs, and all
// others get its answer. Inputs are keys.
var keys = (&porcupine.NondeterministicModel{
	Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
		by := map[string][]porcupine.Operation{}
		for _, o := range all {
			by[o.Input.(string)] = append(by[o.Input.(string)], o)
		}
		for _, part := range by {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{""} },
	Step: func(state, _, output any) []any {
		const ran = "?" // it has run, and nobody was told
		was, told := state.(string), output.(answered)
		switch {
		case told.id == "" && was == "":
			return []any{was, ran}
		case told.id == "", (told.replayed || told.streamed) && was == told.id:
			return []any{was}
		case told.replayed && was == ran, !told.replayed && was == "":
			return []any{told.id}
		default:
			return nil
		}
	},
}).ToModel()

// counter is the model of a quota of so many units, which does not come back: each
// grant takes one, and a refusal says that none is left. Outputs tell whether a request
// was granted.
func counter(most int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, _, output any) (bool, any) {
			if used := state.(int); output.(bool) {
				return used < most, used + 1
			} else {
				return used == most, used
			}
		},
	}
}

func TestTheModelsOfHistoriesSeeWhatIsWrong(t *testing.T) {
	op := func(call, back int64, key string, told any) porcupine.Operation {
		return porcupine.Operation{Input: key, Output: told, Call: call, Return: back}
	}
	for name, c := range map[string]struct {
		model porcupine.Model
		all   []porcupine.Operation
		want  bool
	}{
		"a key is replayed":      {keys, []porcupine.Operation{op(0, 1, "k", answered{id: "a", replayed: false}), op(2, 3, "k", answered{id: "a", replayed: true})}, true},
		"whose answer was lost":  {keys, []porcupine.Operation{op(0, math.MaxInt64, "k", answered{}), op(2, 3, "k", answered{id: "a", replayed: true})}, true},
		"a key has run twice":    {keys, []porcupine.Operation{op(0, 1, "k", answered{id: "a", replayed: false}), op(2, 3, "k", answered{id: "b", replayed: false})}, false},
		"a replay of another":    {keys, []porcupine.Operation{op(0, 1, "k", answered{id: "a", replayed: false}), op(2, 3, "k", answered{id: "b", replayed: true})}, false},
		"a replay of nothing":    {keys, []porcupine.Operation{op(0, 1, "k", answered{id: "a", replayed: true}), op(2, 3, "k", answered{id: "a", replayed: false})}, false},
		"a stream is joined":     {keys, []porcupine.Operation{op(0, 3, "k", answered{id: "a", streamed: true}), op(1, 3, "k", answered{id: "a", streamed: true})}, true},
		"a stream has run twice": {keys, []porcupine.Operation{op(0, 3, "k", answered{id: "a", streamed: true}), op(1, 3, "k", answered{id: "b", streamed: true})}, false},
		"two keys":               {keys, []porcupine.Operation{op(0, 1, "k", answered{id: "a", replayed: false}), op(2, 3, "l", answered{id: "b", replayed: false})}, true},
		"a quota is used up":     {counter(1), []porcupine.Operation{op(0, 5, "", true), op(1, 4, "", false)}, true},
		"and exceeded":           {counter(1), []porcupine.Operation{op(0, 5, "", true), op(1, 4, "", true)}, false},
		"and refused too early":  {counter(1), []porcupine.Operation{op(0, 1, "", false), op(2, 3, "", true)}, false},
	} {
		if got := porcupine.CheckOperations(c.model, c.all); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

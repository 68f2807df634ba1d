package quota

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"agentapi/domain/fault"
)

func TestRatesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, r := range []Rate{{}, {Limit: 1}, {Limit: 0, Per: time.Minute}, {Limit: -1, Per: time.Minute}, {Limit: 1, Per: time.Millisecond}, {Limit: 1, Per: 400 * 24 * time.Hour}} {
		if err := r.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", r, err)
		}
	}
	if err := (Rate{Limit: 1, Per: time.Minute}).Validate(); err != nil {
		t.Error(err)
	}
}

// Whatever the limit, what is admitted from an unused account is what exact
// arithmetic admits: limit + ⌊time × limit ÷ period⌋, but for one unit where the
// moment is within a microsecond of its coming back.
func TestAnAccountAdmitsWhatExactArithmeticDoes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	start := Micros(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for range 300 {
		r := Rate{Limit: 1 + random.Int64N(2000), Per: []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}[random.IntN(4)]}
		var a Account
		admitted, passed := int64(0), int64(0)
		for i := range 50 {
			if i > 0 {
				passed += random.Int64N(r.Per.Microseconds() / 10)
			}
			for {
				after, wait := a.Spend(r, 1, start+float64(passed))
				if wait != 0 {
					break
				}
				a = after
				admitted++
			}
			// Never idle here, so nothing is lost to the bound of what is saved up.
			back := new(big.Int).Div(new(big.Int).Mul(big.NewInt(passed+slack), big.NewInt(r.Limit)), big.NewInt(r.Per.Microseconds())).Int64()
			least := new(big.Int).Div(new(big.Int).Mul(big.NewInt(max(0, passed-slack)), big.NewInt(r.Limit)), big.NewInt(r.Per.Microseconds())).Int64()
			if got := admitted - r.Limit; got > back || got < least {
				t.Fatalf("%+v: %d more than the limit were admitted after %d µs, want %d to %d", r, got, passed, least, back)
			}
		}
	}
}

func TestAStricterLimitWins(t *testing.T) {
	t.Parallel()
	got := Limits{RequestsPerMinute: 5, TokensPerMinute: 7, Concurrent: 1}.Within(Limits{RequestsPerMinute: 9, RequestsPerDay: 3, TokensPerMinute: 2})
	if want := (Limits{RequestsPerMinute: 5, RequestsPerDay: 3, TokensPerMinute: 2, Concurrent: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func plan() Plan {
	return Compose("id", time.Minute, Want{Tokens: 100},
		Holder{Tier: Platform, Limits: Limits{RequestsPerMinute: 600}},
		Holder{Tier: Organization, ID: "o", Limits: Limits{RequestsPerMinute: 60, TokensPerDay: 10_000, Concurrent: 4}},
		Holder{Tier: User, ID: "o/u"})
}

func TestAPlanTakesOfEveryLimitThatHolds(t *testing.T) {
	t.Parallel()
	want := Claim{ID: "id", Lease: time.Minute, Rates: []Charge{
		{Key: "platform::rpm", Rate: Rate{600, time.Minute}, N: 1},
		{Key: "organization:o:rpm", Rate: Rate{60, time.Minute}, N: 1},
		{Key: "organization:o:tpd", Rate: Rate{10_000, 24 * time.Hour}, N: 100},
	}, Places: []Places{{Key: "organization:o:running", Most: 4}}}
	p := plan()
	if !reflect.DeepEqual(p.Claim, want) {
		t.Errorf("got %+v, want %+v", p.Claim, want)
	}
	if got := p.Back(30); !reflect.DeepEqual(got, []int64{0, 0, 70}) {
		t.Errorf("where 30 tokens were used, %v come back", got)
	}
	if got := p.Back(130); !reflect.DeepEqual(got, []int64{0, 0, -30}) {
		t.Errorf("where 130 tokens were used, %v come back", got)
	}
	if p.Free() || !Compose("id", time.Minute, Want{Tokens: 1}, Holder{Tier: User}).Free() {
		t.Error("a plan is free where there are no limits")
	}
}

func TestAProgramTakesAPlaceOfItsOwn(t *testing.T) {
	t.Parallel()
	limits := Holder{Tier: Organization, ID: "o", Limits: Limits{RequestsPerMinute: 60, Concurrent: 4, Processes: 2}}
	running, programs := Places{"organization:o:running", 4}, Places{"organization:o:programs", 2}
	for _, c := range []struct {
		want  Want
		rates int
		holds []Places
	}{
		{Want{}, 1, []Places{running}},
		{Want{Program: true}, 1, []Places{running, programs}},
		{Want{Program: true, Only: true}, 0, []Places{programs}},
	} {
		p := Compose("id", time.Minute, c.want, limits)
		if len(p.Claim.Rates) != c.rates || !reflect.DeepEqual(p.Claim.Places, c.holds) {
			t.Errorf("%+v: got %+v", c.want, p.Claim)
		}
		if back := p.Untaken(); len(back) != c.rates || c.rates > 0 && back[0] != 1 {
			t.Errorf("%+v: where nothing was begun %v come back", c.want, back)
		}
	}
	p := Compose("id", time.Minute, Want{Program: true, Only: true}, limits)
	if f := fault.As(p.Refusal(Decision{Refused: 0, RetryAfter: time.Second})); f == nil || f.Code != "concurrency_limit" || f.Message != "Too many agent processes at once of the organisation: the limit is 2." {
		t.Errorf("got %+v", f)
	}
}

func TestARefusalSaysWhichLimitItWasAndWhenToTryAgain(t *testing.T) {
	t.Parallel()
	levels := []Level{{Remaining: 9}, {Remaining: 0}, {Remaining: 50}, {Remaining: 0}}
	for _, c := range []struct {
		d     Decision
		kind  fault.Kind
		code  string
		says  string
		after time.Duration
	}{
		{Decision{Refused: 1, RetryAfter: 900 * time.Millisecond, Levels: levels}, fault.RateLimited, "rate_limit_exceeded", "requests per minute of the organisation is reached: it is 60", 900 * time.Millisecond},
		{Decision{Refused: 2, RetryAfter: time.Hour, Levels: levels}, fault.RateLimited, "rate_limit_exceeded", "tokens per day of the organisation is reached: it is 10000, and 50 remain", time.Hour},
		{Decision{Refused: 3, RetryAfter: time.Second, Levels: levels}, fault.RateLimited, "concurrency_limit", "requests at once of the organisation: the limit is 4", time.Second},
		{Decision{Refused: 2, RetryAfter: -1, Levels: levels}, fault.TooLong, "tokens_exceed_limit", "100 tokens", 0},
	} {
		f := fault.As(plan().Refusal(c.d))
		if f == nil || f.Kind != c.kind || f.Code != c.code || !strings.Contains(f.Message, c.says) || f.RetryAfter != c.after {
			t.Errorf("%+v: got %+v", c.d, f)
		}
	}
}

func TestTheTightestLimitIsTold(t *testing.T) {
	t.Parallel()
	d := Decision{Refused: -1, Levels: []Level{{Remaining: 300, Reset: 30 * time.Second}, {Remaining: 12, Reset: 48 * time.Second}, {Remaining: 9_900, Reset: time.Second}, {Remaining: 3}}}
	for unit, want := range map[Unit]string{Requests: "{60 12 48s} true", Tokens: "{10000 9900 1s} true", AtOnce: "{0 0 0s} false"} {
		s, ok := plan().Standing(unit, d)
		if got := fmt.Sprint(s, ok); got != want {
			t.Errorf("%s: got %s, want %s", unit, got, want)
		}
	}
}

func TestTermsGiveThePlanThatIsComposedAnew(t *testing.T) {
	t.Parallel()
	all := Limits{1, 2, 3, 4, 5, 6}
	holders := []Holder{{Platform, "", all}, {Organization, "o", Limits{}}, {User, "o/u", all}}
	model := Holder{Model, "m", all}
	terms := NewTerms(holders...)
	for _, want := range []Want{{}, {Tokens: 7}, {Tokens: 8, Program: true}, {Program: true, Only: true}} {
		if got, anew := terms.Plan("1", time.Minute, want), Compose("1", time.Minute, want, holders...); !reflect.DeepEqual(got, anew) {
			t.Errorf("%+v: got %+v, want %+v", want, got, anew)
		}
		if got, anew := terms.Plan("2", time.Hour, want, model), Compose("2", time.Hour, want, append(slices.Clone(holders), model)...); !reflect.DeepEqual(got, anew) {
			t.Errorf("%+v of a model: got %+v, want %+v", want, got, anew)
		}
	}
	if first, second := terms.Plan("3", 0, Want{Tokens: 1}), terms.Plan("4", 0, Want{Tokens: 2}); reflect.DeepEqual(first.Claim.Rates, second.Claim.Rates) {
		t.Error("one request's tokens are another's")
	}
}

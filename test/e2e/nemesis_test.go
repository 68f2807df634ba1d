package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
)

// tormented is what the servers of the nemesis test are given. What is set aside is
// free again soon after its server has died.
const tormented = `billing: {answer: 64, hold: 6s, prices: {'*': {input: 1000000, output: 1000000}}}
limits: {instances: 3, user: {requests_per_minute: 1000000, concurrent: 1000}}
`

// crowd is clients, and what they were told.
type crowd struct {
	t       *testing.T
	c       *cluster
	history *history
	seed    uint64

	mu    sync.Mutex
	acked map[string]string // the texts that were answered, and in which session

	asked, unknown, replayed atomic.Int64
}

// chat sends a request as the user victim, notes what comes of it, and tells whether it
// was answered.
func (c *crowd) chat(client int, text string, stream bool, headers ...string) (done bool) {
	c.asked.Add(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), 8*time.Second)
	defer cancel()
	body := kit.Ask("team", text)
	if stream {
		body = kit.AskStream("team", text)
	}
	key := ""
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Idempotency-Key" {
			key = headers[i+1]
		}
	}
	began := time.Now()
	a, err := c.c.front.Do(ctx, http.MethodPost, "/v1/chat/completions", body, append(as("victim"), headers...)...)
	said, id, whole := "", "", false
	if err == nil && a.Status == 200 {
		said, id, whole = complete(a.Body, stream)
	}
	switch {
	case whole && said == text:
	case whole:
		c.t.Errorf("%q was answered by %q", text, a.Body)
	case err == nil && a.Status == http.StatusConflict && strings.Contains(a.Body, "idempotency_in_progress"):
		return false // nothing has happened
	case err != nil || a.Status == 200 && stream || a.Status == 409 || a.Status == 429 || a.Status >= 500:
		c.unknown.Add(1)
		if key != "" {
			c.history.unknown(client, key, answered{}, began)
		}
		return false
	default:
		c.t.Errorf("%q: %d %s", text, a.Status, a.Body)
		return false
	}
	again := a.Header.Get("Idempotent-Replayed") != ""
	if again {
		c.replayed.Add(1)
	}
	if key != "" && again { // the client may have sent it twice, by itself
		c.history.unknown(client, key, answered{}, began)
	}
	if key != "" {
		c.history.note(client, key, answered{id, again, stream}, began)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[text] = a.Header.Get("X-Agentapi-Session-Id")
	return true
}

// session is where a text was answered.
func (c *crowd) session(text string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked[text]
}

// complete gives text and id of an answer, and whether it is whole.
func complete(body string, stream bool) (text, id string, whole bool) {
	type answer struct {
		ID      string
		Choices []struct{ Message, Delta struct{ Content string } }
	}
	if !stream {
		var a answer
		if json.Unmarshal([]byte(body), &a) != nil || len(a.Choices) != 1 {
			return "", "", false
		}
		return a.Choices[0].Message.Content, a.ID, true
	}
	for line := range strings.Lines(body) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if data == "[DONE]" {
			return text, id, true
		}
		var a answer
		if !ok || json.Unmarshal([]byte(data), &a) != nil {
			continue
		}
		for _, choice := range a.Choices {
			text += choice.Delta.Content
		}
		id = a.ID
	}
	return text, id, false
}

// sharing has a client ask with keys that others use at the same time.
func (c *crowd) sharing(ctx context.Context, client int) {
	random := rand.New(rand.NewPCG(c.seed, uint64(1000+client)))
	for n := 0; ctx.Err() == nil; n++ {
		of := n/4*4 + random.IntN(4)
		key := fmt.Sprint("key ", of)
		c.chat(client, key, of%2 == 0, "Idempotency-Key", key)
		wait(ctx, time.Duration(random.IntN(20))*time.Millisecond)
	}
}

// talking has a client go on with a session, each turn until it is answered.
func (c *crowd) talking(ctx context.Context, client int) (turns int) {
	id := ""
	for ctx.Err() == nil {
		text := fmt.Sprintf("talk %d turn %d", client, turns)
		for !c.chat(client, text, false, "X-Session-Id", id, "Idempotency-Key", text) {
			if c.t.Context().Err() != nil {
				return turns
			}
			time.Sleep(20 * time.Millisecond)
		}
		turns++
		if id == "" {
			id = c.session(text)
		}
		wait(ctx, 20*time.Millisecond)
	}
	return turns
}

// once has a client ask what nobody asks again.
func (c *crowd) once(ctx context.Context, client int) {
	for n := 0; ctx.Err() == nil; n++ {
		c.chat(client, fmt.Sprintf("once %d %d", client, n), n%2 == 0)
		wait(ctx, 10*time.Millisecond)
	}
}

// Servers, Redis, Postgres and an agent fail, each again and again and in many ways at
// once. No answer that was acknowledged is lost or stored twice, keys are linearizable,
// sessions have each turn once and in order, the audit log is whole, and what budgets
// have spent is what was booked.
func TestNothingIsLostOrDoubledWhateverFails(t *testing.T) {
	kit.Plain(t, "it takes half a minute of two cores")
	seed, lasts := seeded(t), time.Duration(kit.Size(10, 15, 600))*time.Second
	c := newCluster(t, 3, tormented)
	budget := fund(t, c.front, `{"period":"total","limit_micro":1000000000000}`)
	all := &crowd{t: t, c: c, history: newHistory(), seed: seed, acked: map[string]string{}}
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	var clients sync.WaitGroup
	turns := make([]int, 4)
	for i := range 6 {
		clients.Go(func() { all.sharing(ctx, i) })
	}
	for i := range turns {
		clients.Go(func() { turns[i] = all.talking(ctx, 10+i) })
	}
	for i := range 2 {
		clients.Go(func() { all.once(ctx, 20+i) })
	}
	c.torment(ctx, seed)
	clients.Wait()

	if !kit.Soon(20*time.Second, func() bool { return budgetOf(t, c.front, budget)["reserved_micro"] == 0.0 }) {
		t.Errorf("after its time something is set aside still: %v", budgetOf(t, c.front, budget))
	}
	if spent, booked := budgetOf(t, c.front, budget)["spent_micro"], booked(t, c.front); spent != booked {
		t.Errorf("%v was spent, and %v booked", spent, booked)
	}
	for i, s := range c.servers {
		if code, err := s.Stop(20 * time.Second); err != nil || code != 0 {
			t.Errorf("server %d ended with %d, %v", i, code, err)
		}
	}
	all.history.linearizable(t, keys)
	stored := all.stored(turns)
	if out, code := agentapi(t, names(c.database), "audit", "verify"); code != 0 || !strings.Contains(out, "whole") {
		t.Errorf("the audit log: %d, %s", code, out)
	}
	var recorded, used, held int
	row := c.database.Server.Look(t, c.database.Name).QueryRow(`SELECT
		(SELECT count(*) FROM agentapi.audit WHERE action = 'chat.completed' AND outcome = 'ok'),
		(SELECT count(*) FROM agentapi.usage WHERE outcome = 'completed'),
		(SELECT count(*) FROM agentapi.budget_holds WHERE expires_at > now())`)
	if err := row.Scan(&recorded, &used, &held); err != nil {
		t.Fatal(err)
	}
	if recorded != stored || used != stored || held != 0 {
		t.Errorf("%d answers are stored, %d recorded, %d booked, %d held", stored, recorded, used, held)
	}
	faults := 0
	for _, n := range c.faults.n {
		faults += n
	}
	t.Logf("faults: %v", c.faults.n)
	t.Logf("RELIABILITY nemesis seed %d: %d faults in %v, %d requests, %d without a certain answer, %d acknowledged texts, %d replays, %d stored answers, a history of %d exchanges; 0 lost, 0 doubled",
		seed, faults, lasts, all.asked.Load(), all.unknown.Load(), len(all.acked), all.replayed.Load(), stored, len(all.history.all))
}

// stored holds the storage to having all that was acknowledged, once and in order, and
// counts the answers in it.
func (c *crowd) stored(turns []int) (answers int) {
	c.t.Helper()
	rows, err := c.c.database.Server.Look(c.t, c.c.database.Name).Query("SELECT session_id, role, content FROM agentapi.chat_messages ORDER BY session_id, seq")
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	questions, said, where := map[string]int{}, map[string][]string{}, map[string]string{}
	for last, before := "", ""; rows.Next(); {
		var session, role, content string
		if err := rows.Scan(&session, &role, &content); err != nil {
			c.t.Fatal(err)
		}
		switch {
		case role == "user":
			questions[content]++
			if talk, _, ok := strings.Cut(content, " turn "); ok {
				said[talk] = append(said[talk], content)
				if was := where[talk]; was != "" && was != session {
					c.t.Errorf("%s goes on in another session", talk)
				}
				where[talk] = session
			}
		case last != session || before != content:
			c.t.Errorf("%q is stored as the answer to %q", content, before)
		default:
			answers++
		}
		last, before = session, content
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	for text := range c.acked {
		if questions[text] != 1 {
			c.t.Errorf("%q was acknowledged and is there %d times", text, questions[text])
		}
	}
	for text, n := range questions {
		if n != 1 {
			c.t.Errorf("%q is there %d times", text, n)
		}
	}
	if len(questions) != answers {
		c.t.Errorf("there are %d questions and %d answers", len(questions), answers)
	}
	for i, n := range turns {
		name := fmt.Sprint("talk ", 10+i)
		for at, text := range said[name] {
			if want := fmt.Sprintf("%s turn %d", name, at); text != want {
				c.t.Errorf("at %d of %s is %q", at, name, text)
			}
		}
		if len(said[name]) != n {
			c.t.Errorf("%s has %d turns, not %d", name, len(said[name]), n)
		}
	}
	return answers
}

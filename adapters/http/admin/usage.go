package admin

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// spent is a row of a report: what is not told apart is not there.
type spent struct {
	Object     string    `json:"object"`
	Start      time.Time `json:"start_at"`
	End        time.Time `json:"end_at"`
	Org        *string   `json:"org_id,omitempty"`
	User       *string   `json:"user_id,omitempty"`
	Key        *string   `json:"api_key_id,omitempty"` // empty: no key was used
	Agent      *string   `json:"agent,omitempty"`
	Model      *string   `json:"model,omitempty"`
	Requests   int64     `json:"requests"`
	Failed     int64     `json:"failed_requests"`
	Canceled   int64     `json:"canceled_requests"`
	Prompt     int64     `json:"prompt_tokens"`
	Cached     int64     `json:"cached_tokens"`
	CacheWrite int64     `json:"cache_write_tokens"`
	Completion int64     `json:"completion_tokens"`
	Reasoning  int64     `json:"reasoning_tokens"`
	Cost       int64     `json:"cost_micro"`
}

func spentOf(q usage.Query, r usage.Row) spent {
	told := func(d usage.Dimension, text string) *string {
		if !q.Tells(d) {
			return nil
		}
		return &text
	}
	key := ""
	if !r.Key.IsZero() {
		key = r.Key.String()
	}
	return spent{
		Object: "usage", Start: r.At, End: r.At.Add(q.Width),
		Org: told(usage.ByOrg, r.Org.String()), User: told(usage.ByUser, r.User.String()), Key: told(usage.ByKey, key),
		Agent: told(usage.ByAgent, string(r.Agent)), Model: told(usage.ByModel, r.Model),
		Requests: r.Requests, Failed: r.Failed, Canceled: r.Canceled, Prompt: r.Prompt, Cached: r.Cached, CacheWrite: r.CacheWrite,
		Completion: r.Completion, Reasoning: r.Reasoning, Cost: int64(r.Cost),
	}
}

// OwnUsage answers GET /api/v1/me/usage.
func (h *Handler) OwnUsage(c *fiber.Ctx) error {
	return h.usage(c, func(ctx context.Context, q usage.Query) (usage.Query, []usage.Row, error) {
		return h.Reports.Own(ctx, caller(c), q)
	})
}

// OrgUsage answers GET /api/v1/orgs/{org}/usage.
func (h *Handler) OrgUsage(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	return h.usage(c, func(ctx context.Context, q usage.Query) (usage.Query, []usage.Row, error) {
		return h.Reports.Org(ctx, caller(c), id, q)
	})
}

// Usage answers GET /api/v1/platform/usage.
func (h *Handler) Usage(c *fiber.Ctx) error {
	return h.usage(c, func(ctx context.Context, q usage.Query) (usage.Query, []usage.Row, error) {
		return h.Reports.Platform(ctx, caller(c), q)
	})
}

// usage answers with a report, whole, as JSON or as a table.
func (h *Handler) usage(c *fiber.Ctx, ask func(context.Context, usage.Query) (usage.Query, []usage.Row, error)) error {
	q, table, err := usageQuery(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	q, rows, err := ask(ctx, q)
	if err != nil {
		return err
	}
	if table {
		return sendTable(c, q, rows)
	}
	data := make([]any, len(rows))
	for i, r := range rows {
		data[i] = spentOf(q, r)
	}
	return rest.SendList(c, data, nil, false)
}

// usageQuery reads what a report is to be about. The table is what the header asks
// for, unless the query says otherwise.
func usageQuery(c *fiber.Ctx) (q usage.Query, table bool, err error) {
	table = c.Accepts("application/json", "text/csv") == "text/csv"
	err = rest.Parameters(c, "since, until, interval, group_by, user, key, agent, model and format", func(name, value string) (known bool, err error) {
		switch name {
		case "since":
			q.Since, err = rest.Moment(name, value)
		case "until":
			q.Until, err = rest.Moment(name, value)
		case "interval":
			if q.Width = map[string]time.Duration{"1m": time.Minute, "1h": time.Hour, "1d": 24 * time.Hour}[value]; q.Width == 0 {
				err = fault.Invalidf(name, "invalid_value", "interval must be 1m, 1h or 1d.")
			}
		case "group_by":
			for d := range strings.SplitSeq(value, ",") {
				q.By = append(q.By, usage.Dimension(d))
			}
		case "user":
			q.Users, err = ids(name, value, tenancy.ParseUserID)
		case "key":
			q.Keys, err = ids(name, value, tenancy.ParseKeyID)
		case "agent":
			for n := range strings.SplitSeq(value, ",") {
				q.Agents = append(q.Agents, agent.Name(n))
			}
		case "model":
			q.Models = strings.Split(value, ",")
		case "format":
			if table = value == "csv"; !table && value != "json" {
				err = fault.Invalidf(name, "invalid_value", "format must be json or csv.")
			}
		default:
			return false, nil
		}
		return true, err
	})
	return q, table, err
}

// ids reads some that are separated by commas.
func ids[T any](name, value string, parse func(string) (T, error)) (out []T, err error) {
	for text := range strings.SplitSeq(value, ",") {
		id, err := parse(text)
		if err != nil {
			return nil, fault.Invalidf(name, "invalid_id", "%s must be ids, separated by commas.", name)
		}
		out = append(out, id)
	}
	return out, nil
}

// sendTable answers with comma-separated values, as RFC 4180 has them.
func sendTable(c *fiber.Ctx, q usage.Query, rows []usage.Row) error {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	head := []string{"start_at", "end_at"}
	for _, d := range usage.Dimensions() {
		if q.Tells(d) {
			head = append(head, map[usage.Dimension]string{
				usage.ByOrg: "org_id", usage.ByUser: "user_id", usage.ByKey: "api_key_id", usage.ByAgent: "agent", usage.ByModel: "model",
			}[d])
		}
	}
	head = append(head, "requests", "failed_requests", "canceled_requests", "prompt_tokens", "cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens", "cost_micro")
	_ = w.Write(head) // into memory
	for _, r := range rows {
		s := spentOf(q, r)
		line := []string{s.Start.Format(time.RFC3339), s.End.Format(time.RFC3339)}
		for _, told := range []*string{s.Model, s.Agent, s.User, s.Key, s.Org} { // as usage.Dimensions has them
			if told != nil {
				line = append(line, plain(*told))
			}
		}
		for _, n := range []int64{s.Requests, s.Failed, s.Canceled, s.Prompt, s.Cached, s.CacheWrite, s.Completion, s.Reasoning, s.Cost} {
			line = append(line, strconv.FormatInt(n, 10))
		}
		_ = w.Write(line)
	}
	w.Flush()
	c.Response().Header.SetContentType("text/csv; charset=utf-8")
	c.Response().SetBodyRaw(text.Bytes())
	return nil
}

// plain keeps a spreadsheet from taking a caller's text for a formula.
func plain(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

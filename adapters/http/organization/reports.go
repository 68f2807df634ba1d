package organization

import (
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// pageOf is the envelope of reports.
type pageOf struct {
	Object string   `json:"object"`
	Data   []bucket `json:"data"`
	More   bool     `json:"has_more"`
	Next   *string  `json:"next_page"`
}

// bucket is a span of time of a report.
type bucket struct {
	Object  string `json:"object"`
	Start   int64  `json:"start_time"`
	End     int64  `json:"end_time"`
	Results []any  `json:"results"`
}

// consumed is what a group consumed in a bucket: null is what is not told apart.
type consumed struct {
	Object      string  `json:"object"`
	Input       int64   `json:"input_tokens"`
	Cached      int64   `json:"input_cached_tokens"`
	CacheWrite  int64   `json:"input_cache_write_tokens"`
	Uncached    int64   `json:"input_uncached_tokens"`
	Output      int64   `json:"output_tokens"`
	InputText   int64   `json:"input_text_tokens"`
	OutputText  int64   `json:"output_text_tokens"`
	CachedText  int64   `json:"input_cached_text_tokens"`
	InputAudio  int64   `json:"input_audio_tokens"`
	OutputAudio int64   `json:"output_audio_tokens"`
	Requests    int64   `json:"num_model_requests"`
	Project     *string `json:"project_id"`
	User        *string `json:"user_id"`
	Key         *string `json:"api_key_id"`
	Model       *string `json:"model"`
	Batch       *bool   `json:"batch"`
	Tier        *string `json:"service_tier"`
}

// spans are the widths of buckets, how many a page holds unless it is said, and at most.
var spans = map[string]struct {
	width        time.Duration
	normal, most int
}{
	"1m": {time.Minute, 60, 1440}, "1h": {time.Hour, 24, 168}, "1d": {24 * time.Hour, 7, 31},
}

// report is what a report is asked to be.
type report struct {
	usage.Query
	most    int
	page    int64
	project bool // told apart, though there is one
	none    bool // it is about something that there is not
}

// Usage answers GET /v1/organization/usage/completions.
func (h *Handler) Usage(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		q, err := r.report()
		if err != nil {
			return err
		}
		var rows []usage.Row
		if !q.none {
			if _, rows, err = h.Reports.Org(r, r.who, r.org, q.Query); err != nil {
				return err
			}
		}
		return q.send(r, rows, q.result)
	})
}

// NoUsage answers GET /v1/organization/usage/{kind} for kinds of which nothing is
// consumed here: a report of the same form, without results.
func (h *Handler) NoUsage(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		if _, err := r.who.Realm(r.org, tenancy.ReadUsage); err != nil {
			return err
		}
		q, err := r.report()
		if err != nil {
			return err
		}
		return q.send(r, nil, q.result)
	})
}

// report reads what is asked for. A page is the span that begins at its number.
func (r call) report() (q report, err error) {
	var (
		start, end int64
		limit      = 0
		begun      = false
		width      = "1d"
	)
	err = rest.Parameters(r.Ctx, "start_time, end_time, bucket_width, project_ids, user_ids, api_key_ids, models, batch, group_by, limit and page", func(name, value string) (bool, error) {
		switch name {
		case "start_time":
			begun = true
			return true, second(&start, name, value)
		case "end_time":
			return true, second(&end, name, value)
		case "page":
			return true, second(&q.page, name, value)
		case "bucket_width":
			if width = value; spans[width].most == 0 {
				return true, fault.Invalidf(name, "invalid_value", "bucket_width must be 1m, 1h or 1d.")
			}
		case "limit":
			if limit, err = strconv.Atoi(value); err != nil || limit < 1 {
				return true, fault.Invalidf(name, "invalid_type", "limit must be an integer above 0.")
			}
		case "batch":
			q.none = q.none || value == "true" // nothing is done in batches here
		case "project_ids[]", "project_ids":
			id, err := tenancy.ParseProjectID(value)
			q.none = q.none || err != nil || id != tenancy.ProjectOf(r.org)
		case "user_ids[]", "user_ids":
			id, err := tenancy.ParseUserID(value)
			q.Users = append(q.Users, id)
			return true, wrong(err, name)
		case "api_key_ids[]", "api_key_ids":
			id, err := tenancy.ParseKeyID(value)
			q.Keys = append(q.Keys, id)
			return true, wrong(err, name)
		case "models[]", "models":
			q.Models = append(q.Models, value)
		case "group_by[]", "group_by":
			return true, q.tell(value)
		default:
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return q, err
	}
	s := spans[width]
	switch {
	case !begun:
		return q, fault.Invalidf("start_time", "missing_required_parameter", "Missing required parameter: 'start_time'.")
	case limit > s.most:
		return q, fault.Invalidf("limit", "out_of_range", "limit must be at most %d where bucket_width is %s.", s.most, width)
	case limit == 0:
		limit = s.normal
	}
	q.Width, q.most, q.Since = s.width, limit, time.Unix(max(start, q.page), 0)
	if end != 0 {
		q.Until = time.Unix(end, 0)
	}
	return q.bounded()
}

// second reads a time.
func second(to *int64, name, value string) (err error) {
	if *to, err = strconv.ParseInt(value, 10, 64); err != nil || *to < 0 || *to > 1<<40 {
		return fault.Invalidf(name, "invalid_type", "%s must be a time in seconds since 1970.", name)
	}
	return nil
}

func wrong(err error, name string) error {
	if err != nil {
		return fault.Invalidf(name, "invalid_id", "%s has what is no id.", name)
	}
	return nil
}

func (q *report) tell(apart string) error {
	switch apart {
	case "user_id":
		q.By = append(q.By, usage.ByUser)
	case "api_key_id":
		q.By = append(q.By, usage.ByKey)
	case "model":
		q.By = append(q.By, usage.ByModel)
	case "project_id":
		q.project = true
	case "batch", "service_tier": // all is alike
	default:
		return fault.Invalidf("group_by", "invalid_value", "group_by must be project_id, user_id, api_key_id, model, batch or service_tier.")
	}
	return nil
}

// bounded cuts the time to a page of it.
func (q report) bounded() (report, error) {
	now := time.Now()
	if q.Until.IsZero() || q.Until.After(now) {
		q.Until = now
	}
	if !q.Since.Before(q.Until) {
		return q, fault.Invalidf("start_time", "out_of_range", "start_time must be before end_time, and in the past.")
	}
	q.page = 0
	q.Since = q.Since.UTC().Truncate(q.Width)
	if end := q.Since.Add(time.Duration(q.most) * q.Width); end.Before(q.Until) {
		q.Until, q.page = end, end.Unix()
	}
	return q, nil
}

// send answers with all buckets of the page, those without results, too.
func (q report) send(r call, rows []usage.Row, as func(project string, row usage.Row) any) error {
	out := pageOf{Object: "page", Data: []bucket{}, More: q.page > 0}
	if out.More {
		next := strconv.FormatInt(q.page, 10)
		out.Next = &next
	}
	project := tenancy.ProjectOf(r.org).String()
	for at := q.Since; at.Before(q.Until); at = at.Add(q.Width) {
		b := bucket{Object: "bucket", Start: at.Unix(), End: at.Add(q.Width).Unix(), Results: []any{}}
		for _, row := range rows {
			if row.At.Equal(at) {
				b.Results = append(b.Results, as(project, row))
			}
		}
		out.Data = append(out.Data, b)
	}
	return rest.Send(r.Ctx, out)
}

func (q report) result(project string, row usage.Row) any {
	uncached := row.Prompt - row.Cached - row.CacheWrite
	c := consumed{
		Object: "organization.usage.completions.result", Input: row.Prompt, Cached: row.Cached, CacheWrite: row.CacheWrite, Uncached: uncached,
		Output: row.Completion, InputText: uncached, OutputText: row.Completion, CachedText: row.Cached, Requests: row.Requests,
	}
	told := func(d usage.Dimension, value string) *string {
		if !slices.Contains(q.By, d) {
			return nil
		}
		return &value
	}
	if q.project {
		c.Project = &project
	}
	c.User, c.Model = told(usage.ByUser, row.User.String()), told(usage.ByModel, row.Model)
	if !row.Key.IsZero() {
		c.Key = told(usage.ByKey, row.Key.String())
	}
	return c
}

package organization

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/fault"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// cost is what a group cost in a day: null is what is not told apart.
type cost struct {
	Object   string  `json:"object"`
	Amount   amount  `json:"amount"`
	LineItem *string `json:"line_item"` // the model
	Project  *string `json:"project_id"`
	Key      *string `json:"api_key_id"`
}

// amount is money as OpenAI writes it.
type amount struct {
	Value    json.Number `json:"value"` // of the whole currency
	Currency string      `json:"currency"`
}

// How many days a page of costs holds unless it is said, and at most.
const normalDays, mostDays = 7, 180

// Costs answers GET /v1/organization/costs.
func (h *Handler) Costs(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		q, err := r.costs()
		if err != nil {
			return err
		}
		var rows []usage.Row
		if !q.none {
			if _, rows, err = h.Reports.Org(r, r.who, r.org, q.Query); err != nil {
				return err
			}
		}
		return q.send(r, rows, func(project string, row usage.Row) any { return q.cost(h.Reports.Currency, project, row) })
	})
}

// costs reads what is asked for.
func (r call) costs() (q report, err error) {
	var (
		start, end int64
		begun      bool
	)
	q.most, q.Width = normalDays, 24*time.Hour
	err = rest.Parameters(r.Ctx, "start_time, end_time, bucket_width, project_ids, api_key_ids, group_by, limit and page", func(name, value string) (bool, error) {
		switch name {
		case "start_time":
			begun = true
			return true, second(&start, name, value)
		case "end_time":
			return true, second(&end, name, value)
		case "page":
			return true, second(&q.page, name, value)
		case "bucket_width":
			if value != "1d" {
				return true, fault.Invalidf(name, "invalid_value", "Costs are by the day: bucket_width must be 1d.")
			}
		case "limit":
			if q.most, err = strconv.Atoi(value); err != nil || q.most < 1 || q.most > mostDays {
				return true, fault.Invalidf(name, "out_of_range", "limit must be between 1 and %d.", mostDays)
			}
		case "project_ids[]", "project_ids":
			id, err := tenancy.ParseProjectID(value)
			q.none = q.none || err != nil || id != tenancy.ProjectOf(r.org)
		case "api_key_ids[]", "api_key_ids":
			id, err := tenancy.ParseKeyID(value)
			q.Keys = append(q.Keys, id)
			return true, wrong(err, name)
		case "group_by[]", "group_by":
			switch value {
			case "line_item":
				q.By = append(q.By, usage.ByModel)
			case "api_key_id":
				q.By = append(q.By, usage.ByKey)
			case "project_id":
				q.project = true
			default:
				return true, fault.Invalidf(name, "invalid_value", "group_by must be project_id, line_item or api_key_id.")
			}
		default:
			return false, nil
		}
		return true, nil
	})
	if err != nil {
		return q, err
	}
	if !begun {
		return q, fault.Invalidf("start_time", "missing_required_parameter", "Missing required parameter: 'start_time'.")
	}
	q.Since = time.Unix(max(start, q.page), 0)
	if end != 0 {
		q.Until = time.Unix(end, 0)
	}
	return q.bounded()
}

func (q report) cost(currency, project string, row usage.Row) cost {
	out := cost{Object: "organization.costs.result", Amount: amount{whole(row.Cost), currency}}
	if q.project {
		out.Project = &project
	}
	if slices.Contains(q.By, usage.ByModel) {
		out.LineItem = &row.Model
	}
	if key := row.Key.String(); slices.Contains(q.By, usage.ByKey) && !row.Key.IsZero() {
		out.Key = &key
	}
	return out
}

// whole writes an amount in the whole currency, exactly.
func whole(m price.Micro) json.Number {
	const million = 1_000_000
	return json.Number(fmt.Sprintf("%d.%06d", m/million, m%million))
}

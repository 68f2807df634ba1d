package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// jobObject is work in the background as callers see it.
type jobObject struct {
	ID       string     `json:"id"`
	Object   string     `json:"object"`
	Kind     job.Kind   `json:"kind"`
	Org      string     `json:"org_id"`
	User     *string    `json:"user_id"`      // whom it is about; null: an organisation
	By       string     `json:"requested_by"` // who asked
	State    job.State  `json:"state"`
	Rows     int        `json:"rows"` // dealt with so far
	Error    *jobError  `json:"error"`
	Result   *string    `json:"result_url"` // where what it made can be had, and until when
	Until    *time.Time `json:"result_expires_at"`
	Version  int        `json:"version"`
	Created  time.Time  `json:"created_at"`
	Updated  time.Time  `json:"updated_at"`
	Finished *time.Time `json:"finished_at"`
}

type jobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func jobPath(j *job.Job) string { return "/api/v1/orgs/" + j.Org.String() + "/jobs/" + j.ID.String() }

func jobOf(j *job.Job) jobObject {
	out := jobObject{
		ID: j.ID.String(), Object: "job", Kind: j.Kind, Org: j.Org.String(), By: j.By.String(), State: j.State, Rows: j.Rows,
		Version: j.Version, Created: j.Created.UTC(), Updated: j.Updated.UTC(), Finished: when(j.Finished),
	}
	if j.Kind != job.EraseOrg {
		user := j.User.String()
		out.User = &user
	}
	if j.State == job.Failed {
		out.Error = &jobError{j.Code, j.Message}
	}
	if j.Result(time.Now()) == nil {
		path := jobPath(j) + "/result"
		out.Result, out.Until = &path, when(j.Finished.Add(job.Keep))
	}
	return out
}

// ExportUser answers POST /api/v1/orgs/{org}/users/{user}/export.
func (h *Handler) ExportUser(c *fiber.Ctx) error {
	if err := rest.Body(c, rest.Members{}); err != nil {
		return err
	}
	return h.asked(c, h.Admin.ExportUser)
}

// EraseUser answers DELETE /api/v1/orgs/{org}/users/{user}?mode=erase.
func (h *Handler) EraseUser(c *fiber.Ctx) error {
	in, _, err := whom(c)
	if err == nil {
		_, err = caller(c).Realm(in, tenancy.WriteData)
	}
	if err != nil {
		return err
	}
	mode := ""
	err = rest.Parameters(c, "mode", func(name, value string) (bool, error) {
		mode = value
		return name == "mode", nil
	})
	if err != nil {
		return err
	}
	if mode != "erase" {
		return fault.Invalidf("mode", "invalid_value", "mode must be erase.").WithHint("A member who is to go, but whose data is to stay, is removed by DELETE /api/v1/orgs/{org}/members/{user}.")
	}
	return h.asked(c, h.Admin.EraseUser)
}

// EraseOrg answers DELETE /api/v1/platform/orgs/{org}?confirm={name}.
func (h *Handler) EraseOrg(c *fiber.Ctx) error {
	id, err := org(c)
	if err == nil {
		_, err = caller(c).Realm(id, tenancy.WritePlatform)
	}
	if err != nil {
		return err
	}
	name := ""
	err = rest.Parameters(c, "confirm", func(param, value string) (bool, error) {
		name = value
		return param == "confirm", nil
	})
	if err != nil {
		return err
	}
	once, err := onceOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	j, err := h.Admin.EraseOrg(ctx, caller(c), id, name, once)
	if err != nil {
		return err
	}
	return accepted(c, j)
}

// asked has something done to the user of the path, and answers with the job.
func (h *Handler) asked(c *fiber.Ctx, ask func(context.Context, tenancy.Principal, tenancy.OrgID, tenancy.UserID, admin.Once) (*job.Job, error)) error {
	in, id, err := whom(c)
	if err != nil {
		return err
	}
	once, err := onceOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	j, err := ask(ctx, caller(c), in, id, once)
	if err != nil {
		return err
	}
	return accepted(c, j)
}

// accepted answers with a job that was asked for.
func accepted(c *fiber.Ctx, j *job.Job) error {
	c.Set("Location", jobPath(j))
	c.Set("Retry-After", "1")
	c.Status(http.StatusAccepted)
	return rest.SendVersion(c, j.Version, jobOf(j))
}

// Jobs answers GET /api/v1/orgs/{org}/jobs, the newest first unless told otherwise.
func (h *Handler) Jobs(c *fiber.Ctx) error {
	in, err := org(c)
	if err != nil {
		return err
	}
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[*job.Job], error) {
		if c.Query("order") == "" {
			q.Desc = true
		}
		return h.Admin.Jobs(ctx, caller(c), in, q)
	}, func(j *job.Job) (string, any) { return j.ID.String(), jobOf(j) })
}

// whose reads the organisation and the job of the path.
func whose(c *fiber.Ctx) (in tenancy.OrgID, id job.ID, err error) {
	if in, err = org(c); err != nil {
		return in, id, err
	}
	if id, err = job.ParseID(c.Params("job")); err != nil {
		return in, id, job.None()
	}
	return in, id, nil
}

// Job answers GET /api/v1/orgs/{org}/jobs/{job}.
func (h *Handler) Job(c *fiber.Ctx) error {
	in, id, err := whose(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	j, err := h.Admin.Job(ctx, caller(c), in, id)
	if err != nil {
		return err
	}
	if !j.State.Ended() {
		c.Set("Retry-After", "1")
	}
	return rest.SendVersion(c, j.Version, jobOf(j))
}

// JobResult answers GET /api/v1/orgs/{org}/jobs/{job}/result: a user's data, one JSON
// object to a line, as it is when it is fetched.
func (h *Handler) JobResult(c *fiber.Ctx) error {
	in, id, err := whose(c)
	if err == nil {
		err = rest.NoQuery(c)
	}
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	pieces, err := h.Admin.Result(ctx, request.Of(c).Within(h.Base), caller(c), in, id)
	if err != nil {
		return err
	}
	return rest.Stream(c, "application/x-ndjson", id.String()+".jsonl", h.Stall, pieces)
}

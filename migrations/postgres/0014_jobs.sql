-- +goose Up
SET LOCAL lock_timeout = '2s';

-- What is done in the background. Nothing personal stands here.
CREATE TABLE jobs (
    org_id      uuid        NOT NULL REFERENCES orgs (id),
    id          uuid        NOT NULL,
    kind        text        NOT NULL,
    user_id     uuid        NOT NULL,
    asked_by    uuid        NOT NULL,
    other_id    uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
    rows_done   bigint      NOT NULL,
    code        text        NOT NULL,
    message     text        NOT NULL,
    tries       integer     NOT NULL,
    holder      text        NOT NULL,
    until       timestamptz,
    finished_at timestamptz,
    version     bigint      NOT NULL CHECK (version > 0),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON jobs
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);

-- Which jobs there are to do, and which are over, is asked of all tenants, through
-- these functions alone.
CREATE POLICY open_see ON jobs FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.jobs', true) = 'on');
CREATE POLICY open_drop ON jobs FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.jobs', true) = 'on');
-- +goose StatementBegin
CREATE FUNCTION open_jobs(at timestamptz, most integer) RETURNS TABLE (org_id uuid, id uuid)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.jobs', 'on', true);
    SELECT j.org_id, j.id FROM jobs j WHERE j.state IN ('queued', 'running') AND (j.state = 'queued' OR j.until <= at) ORDER BY j.id LIMIT most
$$;
CREATE FUNCTION drop_jobs(before timestamptz, most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.jobs', 'on', true);
    WITH old AS (
        SELECT org_id, id FROM jobs WHERE finished_at < before LIMIT most
    ), gone AS (
        DELETE FROM jobs j USING old WHERE j.org_id = old.org_id AND j.id = old.id RETURNING 1
    ) SELECT count(*) FROM gone
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION open_jobs, drop_jobs FROM PUBLIC;

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION drop_jobs;
DROP FUNCTION open_jobs;
DROP TABLE jobs;

-- +goose Up
CREATE TABLE jobs (
    org_id      TEXT      NOT NULL REFERENCES orgs (id),
    id          TEXT      NOT NULL,
    kind        TEXT      NOT NULL,
    user_id     TEXT      NOT NULL,
    asked_by    TEXT      NOT NULL,
    other_id    TEXT      NOT NULL,
    state       TEXT      NOT NULL,
    rows_done   INTEGER   NOT NULL,
    code        TEXT      NOT NULL,
    message     TEXT      NOT NULL,
    tries       INTEGER   NOT NULL,
    holder      TEXT      NOT NULL,
    until       TIMESTAMP,
    finished_at TIMESTAMP,
    version     INTEGER   NOT NULL,
    created_at  TIMESTAMP NOT NULL,
    updated_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- +goose Down
DROP TABLE jobs;

-- +goose Up
CREATE TABLE invitations (
    org_id      TEXT      NOT NULL REFERENCES orgs (id),
    id          TEXT      NOT NULL,
    email       TEXT      NOT NULL,
    email_key   TEXT      NOT NULL,
    role        TEXT      NOT NULL,
    invited_by  TEXT      NOT NULL,
    status      TEXT      NOT NULL,
    expires_at  TIMESTAMP NOT NULL,
    accepted_by TEXT,
    accepted_at TIMESTAMP,
    version     INTEGER   NOT NULL,
    created_at  TIMESTAMP NOT NULL,
    updated_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX invitations_pending ON invitations (org_id, email_key) WHERE status = 'pending';
CREATE INDEX invitations_email ON invitations (email_key) WHERE status = 'pending';
ALTER TABLE users ADD COLUMN home TEXT;
ALTER TABLE memberships ADD COLUMN folded TEXT;
ALTER TABLE orgs ADD COLUMN folded TEXT;
CREATE INDEX orgs_folded ON orgs (coalesce(folded, lower(title)));
CREATE INDEX orgs_name ON orgs (name);
CREATE INDEX orgs_status ON orgs (status, id);
CREATE INDEX users_subject ON users (subject);
CREATE INDEX users_status ON users (status, id);

-- +goose Down
DROP INDEX users_status;
DROP INDEX users_subject;
DROP INDEX orgs_status;
DROP INDEX orgs_name;
DROP INDEX orgs_folded;
ALTER TABLE orgs DROP COLUMN folded;
ALTER TABLE memberships DROP COLUMN folded;
ALTER TABLE users DROP COLUMN home;
DROP TABLE invitations;

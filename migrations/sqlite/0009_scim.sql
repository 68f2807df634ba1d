-- +goose Up
-- What an identity provider says of an organisation's people and groups. Names are
-- kept beside as they are compared, whatever their case.
CREATE TABLE scim_users (
    org_id      TEXT        NOT NULL,
    user_id     TEXT        NOT NULL,
    external_id TEXT        NOT NULL,
    user_name   TEXT        NOT NULL,
    name_key    TEXT        NOT NULL,
    given       TEXT        NOT NULL,
    family      TEXT        NOT NULL,
    formatted   TEXT        NOT NULL,
    display     TEXT        NOT NULL,
    email       TEXT        NOT NULL,
    email_key   TEXT        NOT NULL,
    version     INTEGER     NOT NULL,
    created_at  TIMESTAMP   NOT NULL,
    updated_at  TIMESTAMP   NOT NULL,
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE UNIQUE INDEX scim_users_name ON scim_users (org_id, name_key);
CREATE INDEX scim_users_external ON scim_users (org_id, external_id);
CREATE INDEX scim_users_email ON scim_users (org_id, email_key);

CREATE TABLE scim_groups (
    org_id      TEXT        NOT NULL REFERENCES orgs (id),
    id          TEXT        NOT NULL,
    external_id TEXT        NOT NULL,
    name        TEXT        NOT NULL,
    name_key    TEXT        NOT NULL,
    version     INTEGER     NOT NULL,
    created_at  TIMESTAMP   NOT NULL,
    updated_at  TIMESTAMP   NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX scim_groups_name ON scim_groups (org_id, name_key);
CREATE INDEX scim_groups_external ON scim_groups (org_id, external_id);

CREATE TABLE scim_members (
    org_id   TEXT NOT NULL,
    group_id TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    PRIMARY KEY (org_id, group_id, user_id),
    FOREIGN KEY (org_id, group_id) REFERENCES scim_groups (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES scim_users (org_id, user_id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX scim_members_user ON scim_members (org_id, user_id, group_id);

-- A key that provisions, and does nothing else.
ALTER TABLE api_keys ADD COLUMN scim BOOLEAN NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE api_keys DROP COLUMN scim;
DROP TABLE scim_members;
DROP TABLE scim_groups;
DROP TABLE scim_users;

-- +goose Up
SET LOCAL lock_timeout = '2s';

-- What an identity provider says of an organisation's people and groups. Names are
-- kept beside as they are compared, whatever their case.
CREATE TABLE scim_users (
    org_id      uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    external_id text        NOT NULL,
    user_name   text        NOT NULL,
    name_key    text        NOT NULL,
    given       text        NOT NULL,
    family      text        NOT NULL,
    formatted   text        NOT NULL,
    display     text        NOT NULL,
    email       text        NOT NULL,
    email_key   text        NOT NULL,
    version     bigint      NOT NULL CHECK (version > 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, user_id),
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX scim_users_name ON scim_users (org_id, name_key);
CREATE INDEX scim_users_external ON scim_users (org_id, external_id);
CREATE INDEX scim_users_email ON scim_users (org_id, email_key);

CREATE TABLE scim_groups (
    org_id      uuid        NOT NULL REFERENCES orgs (id),
    id          uuid        NOT NULL,
    external_id text        NOT NULL,
    name        text        NOT NULL,
    name_key    text        NOT NULL,
    version     bigint      NOT NULL CHECK (version > 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX scim_groups_name ON scim_groups (org_id, name_key);
CREATE INDEX scim_groups_external ON scim_groups (org_id, external_id);

CREATE TABLE scim_members (
    org_id   uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id  uuid NOT NULL,
    PRIMARY KEY (org_id, group_id, user_id),
    FOREIGN KEY (org_id, group_id) REFERENCES scim_groups (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES scim_users (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX scim_members_user ON scim_members (org_id, user_id, group_id);

ALTER TABLE scim_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE scim_users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scim_users
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE scim_groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE scim_groups FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scim_groups
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE scim_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE scim_members FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scim_members
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);

-- A key that provisions, and does nothing else.
ALTER TABLE api_keys ADD COLUMN scim boolean NOT NULL DEFAULT false;

-- +goose Down
SET LOCAL lock_timeout = '2s';
ALTER TABLE api_keys DROP COLUMN scim;
DROP TABLE scim_members;
DROP TABLE scim_groups;
DROP TABLE scim_users;

-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Organisations and users belong to the platform: nothing personal stands here.
CREATE TABLE orgs (
    id         uuid        PRIMARY KEY,
    issuer     text        NOT NULL,
    name       text        NOT NULL,
    title      text        NOT NULL,
    status     text        NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
    version    bigint      NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE users (
    id         uuid        PRIMARY KEY,
    issuer     text        NOT NULL,
    subject    text        NOT NULL,
    platform   text        NOT NULL DEFAULT '' CHECK (platform IN ('', 'platform_admin', 'platform_auditor')),
    status     text        NOT NULL CHECK (status IN ('active', 'suspended')),
    version    bigint      NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_platform ON users (id) WHERE platform <> '';

CREATE TABLE memberships (
    org_id     uuid        NOT NULL REFERENCES orgs (id),
    user_id    uuid        NOT NULL REFERENCES users (id),
    name       text        NOT NULL DEFAULT '',
    email      text        NOT NULL DEFAULT '',
    role       text        NOT NULL,
    given      boolean     NOT NULL DEFAULT false,
    status     text        NOT NULL CHECK (status IN ('active', 'suspended')),
    version    bigint      NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, user_id)
);
CREATE TABLE api_keys (
    org_id       uuid        NOT NULL,
    id           uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    name         text        NOT NULL,
    hint         text        NOT NULL,
    hash         text        NOT NULL,
    pepper       text        NOT NULL,
    role         text        NOT NULL,
    models       jsonb       NOT NULL DEFAULT '[]',
    networks     jsonb       NOT NULL DEFAULT '[]',
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    version      bigint      NOT NULL CHECK (version > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX api_keys_id ON api_keys (id);
CREATE INDEX api_keys_user ON api_keys (org_id, user_id, id);

ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memberships
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);

-- Who presents a key has not said yet of which tenant it is. The server's role may
-- ask for one key at a time, by its id, through this function.
CREATE POLICY find ON api_keys FOR SELECT TO CURRENT_USER USING (id = nullif(current_setting('agentapi.find_key', true), '')::uuid);
-- +goose StatementBegin
CREATE FUNCTION find_api_key(key uuid) RETURNS SETOF api_keys
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.find_key', key::text, true);
    SELECT * FROM api_keys WHERE id = key
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION find_api_key FROM PUBLIC;

-- Whether another tenant has a user as a member only the reference knows.
-- +goose StatementBegin
CREATE FUNCTION forget_user(gone uuid) RETURNS integer LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE n integer;
BEGIN
    DELETE FROM users WHERE id = gone;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
EXCEPTION WHEN foreign_key_violation THEN
    RETURN 0;
END
$$;
-- +goose StatementEnd

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION forget_user;
DROP FUNCTION find_api_key;
DROP TABLE api_keys;
DROP TABLE memberships;
DROP TABLE users;
DROP TABLE orgs;

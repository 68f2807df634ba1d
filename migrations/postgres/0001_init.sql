-- +goose Up
SET LOCAL lock_timeout = '2s';

CREATE TABLE chat_sessions (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    key_source text,
    key_value  text,
    title      text        NOT NULL DEFAULT '',
    agent      text        NOT NULL DEFAULT '',
    model      text        NOT NULL DEFAULT '',
    native     text        NOT NULL DEFAULT '',
    turns      integer     NOT NULL DEFAULT 0 CHECK (turns >= 0),
    metadata   jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX chat_sessions_key ON chat_sessions (org_id, user_id, key_source, key_value) WHERE key_value IS NOT NULL;
CREATE INDEX chat_sessions_user ON chat_sessions (org_id, user_id, id);

CREATE TABLE chat_messages (
    org_id     uuid        NOT NULL,
    session_id uuid        NOT NULL,
    seq        integer     NOT NULL CHECK (seq > 0),
    id         uuid        NOT NULL,
    role       text        NOT NULL,
    content    text,
    tokens_in  integer     NOT NULL DEFAULT 0 CHECK (tokens_in >= 0),
    tokens_out integer     NOT NULL DEFAULT 0 CHECK (tokens_out >= 0),
    metadata   jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, session_id, seq),
    FOREIGN KEY (org_id, session_id) REFERENCES chat_sessions (org_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX chat_messages_id ON chat_messages (org_id, session_id, id);

CREATE TABLE usage (
    org_id            uuid        NOT NULL,
    id                uuid        NOT NULL,
    user_id           uuid        NOT NULL,
    request           text        NOT NULL,
    session_id        uuid        NOT NULL, -- no reference: what was used is kept when the session goes
    agent             text        NOT NULL,
    model             text        NOT NULL,
    prompt_tokens     integer     NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens integer     NOT NULL CHECK (completion_tokens >= 0),
    details           jsonb       NOT NULL,
    outcome           text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id)
);
CREATE INDEX usage_user ON usage (org_id, user_id) INCLUDE (prompt_tokens, completion_tokens);

CREATE TABLE idempotency (
    org_id       uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    key          text        NOT NULL,
    body         text        NOT NULL,
    owner        text        NOT NULL,
    claimed_at   timestamptz NOT NULL,
    lapses_at    timestamptz NOT NULL,
    done         boolean     NOT NULL,
    result       text, -- not jsonb, which takes no NUL; nobody asks for what is in it
    completed_at timestamptz,
    PRIMARY KEY (org_id, user_id, key)
);
CREATE INDEX idempotency_completed ON idempotency (completed_at) WHERE done;
CREATE INDEX idempotency_running ON idempotency (lapses_at) WHERE NOT done;

-- Rows of a tenant are seen by whoever has named the tenant in the transaction.
-- After a transaction the setting is '' rather than NULL, hence nullif.
ALTER TABLE chat_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON chat_sessions
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE chat_messages FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON chat_messages
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON usage
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);

-- Forgetting goes across tenants. The server's role cannot: it may call this
-- function only, whose owner may see and delete what is done or lapsed long ago,
-- and nothing else.
CREATE POLICY forget_see ON idempotency FOR SELECT TO CURRENT_USER USING (done OR lapses_at < now() - interval '1 hour');
CREATE POLICY forget ON idempotency FOR DELETE TO CURRENT_USER USING (done OR lapses_at < now() - interval '1 hour');
-- +goose StatementBegin
CREATE FUNCTION forget_idempotency(before timestamptz, most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM idempotency WHERE done AND ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency WHERE done AND completed_at < before ORDER BY completed_at LIMIT most
        )) RETURNING 1
    ), dead AS (
        DELETE FROM idempotency WHERE NOT done AND ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency WHERE NOT done AND lapses_at < before ORDER BY lapses_at LIMIT most
        )) RETURNING 1
    ) SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM dead)
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION forget_idempotency FROM PUBLIC;

-- The servers that run: what a dead one had claimed lapses, and a server whose
-- connection broke in the middle of a commit reads here whether it happened.
CREATE TABLE instances (
    id         text        PRIMARY KEY,
    batch      bigint      NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    until      timestamptz NOT NULL
);

-- What the servers know of their agents. These belong to the platform, not to a tenant.
CREATE TABLE agents (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL UNIQUE,
    type       text        NOT NULL,
    enabled    boolean     NOT NULL DEFAULT true,
    config     jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE models (
    id          uuid        PRIMARY KEY,
    agent_id    uuid        NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    name        text        NOT NULL,
    description text        NOT NULL DEFAULT '',
    max_tokens  integer     CHECK (max_tokens > 0),
    enabled     boolean     NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (agent_id, name)
);
CREATE TABLE agent_health (
    id            uuid        PRIMARY KEY,
    agent_id      uuid        NOT NULL UNIQUE REFERENCES agents (id) ON DELETE CASCADE,
    status        text        NOT NULL CHECK (status IN ('healthy', 'unhealthy', 'degraded')),
    last_check    timestamptz NOT NULL,
    error_message text,
    metadata      jsonb       NOT NULL DEFAULT '{}',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
-- +goose StatementBegin
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := OLD.created_at;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER touch BEFORE UPDATE ON agents FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER touch BEFORE UPDATE ON models FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER touch BEFORE UPDATE ON agent_health FOR EACH ROW EXECUTE FUNCTION touch();

-- The oldest build, by the schema version that it was made for, that this schema
-- still serves. A step that takes something away raises it.
CREATE TABLE schema_serves (oldest bigint NOT NULL);
INSERT INTO schema_serves VALUES (1);

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP TABLE schema_serves;
DROP TABLE agent_health;
DROP TABLE models;
DROP TABLE agents;
DROP FUNCTION touch;
DROP TABLE instances;
DROP FUNCTION forget_idempotency;
DROP TABLE idempotency;
DROP TABLE usage;
DROP TABLE chat_messages;
DROP TABLE chat_sessions;

-- +goose Up
CREATE TABLE chat_sessions (
    org_id     TEXT      NOT NULL,
    id         TEXT      NOT NULL,
    user_id    TEXT      NOT NULL,
    key_source TEXT,
    key_value  TEXT,
    title      TEXT      NOT NULL,
    agent      TEXT      NOT NULL,
    model      TEXT      NOT NULL,
    native     TEXT      NOT NULL,
    turns      INTEGER   NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX chat_sessions_id ON chat_sessions (id);
CREATE UNIQUE INDEX chat_sessions_key ON chat_sessions (org_id, user_id, key_source, key_value) WHERE key_value IS NOT NULL;
CREATE INDEX chat_sessions_user ON chat_sessions (org_id, user_id, id);

CREATE TABLE chat_messages (
    org_id     TEXT      NOT NULL,
    session_id TEXT      NOT NULL,
    seq        INTEGER   NOT NULL,
    id         TEXT      NOT NULL,
    role       TEXT      NOT NULL,
    content    TEXT,
    tokens_in  INTEGER   NOT NULL,
    tokens_out INTEGER   NOT NULL,
    metadata   TEXT      NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, session_id, seq),
    FOREIGN KEY (org_id, session_id) REFERENCES chat_sessions (org_id, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE UNIQUE INDEX chat_messages_id ON chat_messages (org_id, session_id, id);

CREATE TABLE usage (
    org_id            TEXT      NOT NULL,
    id                TEXT      NOT NULL,
    user_id           TEXT      NOT NULL,
    request           TEXT      NOT NULL,
    session_id        TEXT      NOT NULL,
    agent             TEXT      NOT NULL,
    model             TEXT      NOT NULL,
    prompt_tokens     INTEGER   NOT NULL,
    completion_tokens INTEGER   NOT NULL,
    details           TEXT      NOT NULL,
    outcome           TEXT      NOT NULL,
    created_at        TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
CREATE INDEX usage_user ON usage (org_id, user_id, prompt_tokens, completion_tokens);

CREATE TABLE idempotency (
    org_id       TEXT      NOT NULL,
    user_id      TEXT      NOT NULL,
    key          TEXT      NOT NULL,
    body         TEXT      NOT NULL,
    owner        TEXT      NOT NULL,
    claimed_at   TIMESTAMP NOT NULL,
    lapses_at    TIMESTAMP NOT NULL,
    done         BOOLEAN   NOT NULL,
    result       TEXT,
    completed_at TIMESTAMP,
    PRIMARY KEY (org_id, user_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_completed ON idempotency (completed_at) WHERE done;
CREATE INDEX idempotency_running ON idempotency (lapses_at) WHERE NOT done;

-- +goose Down
DROP TABLE idempotency;
DROP TABLE usage;
DROP TABLE chat_messages;
DROP TABLE chat_sessions;

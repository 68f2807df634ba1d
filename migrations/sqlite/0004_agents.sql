-- +goose Up
CREATE TABLE agents (
    id         TEXT      PRIMARY KEY,
    name       TEXT      NOT NULL UNIQUE,
    type       TEXT      NOT NULL,
    enabled    BOOLEAN   NOT NULL DEFAULT TRUE,
    config     TEXT      NOT NULL DEFAULT '{}',
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE TABLE models (
    id          TEXT      PRIMARY KEY,
    agent_id    TEXT      NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    name        TEXT      NOT NULL,
    description TEXT      NOT NULL DEFAULT '',
    max_tokens  INTEGER   CHECK (max_tokens > 0),
    enabled     BOOLEAN   NOT NULL DEFAULT TRUE,
    created_at  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (agent_id, name)
) WITHOUT ROWID;
CREATE TABLE agent_health (
    id            TEXT      PRIMARY KEY,
    agent_id      TEXT      NOT NULL UNIQUE REFERENCES agents (id) ON DELETE CASCADE,
    status        TEXT      NOT NULL CHECK (status IN ('healthy', 'unhealthy', 'degraded')),
    last_check    TIMESTAMP NOT NULL,
    error_message TEXT,
    metadata      TEXT      NOT NULL DEFAULT '{}',
    created_at    TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at    TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
-- +goose StatementBegin
CREATE TRIGGER touch_agents AFTER UPDATE OF type, enabled, config ON agents BEGIN
    UPDATE agents SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;
CREATE TRIGGER touch_models AFTER UPDATE OF max_tokens, enabled ON models BEGIN
    UPDATE models SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;
CREATE TRIGGER touch_agent_health AFTER UPDATE OF status, last_check, error_message ON agent_health BEGIN
    UPDATE agent_health SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE agent_health;
DROP TABLE models;
DROP TABLE agents;

-- +goose Up
CREATE TABLE leases (
    name   TEXT      PRIMARY KEY,
    holder TEXT      NOT NULL,
    until  TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX chat_sessions_updated ON chat_sessions (updated_at);
CREATE INDEX usage_created ON usage (created_at);

-- +goose Down
DROP INDEX usage_created;
DROP INDEX chat_sessions_updated;
DROP TABLE leases;

-- +goose Up
CREATE TABLE agent_switches (
    name       TEXT      PRIMARY KEY,
    off        BOOLEAN   NOT NULL,
    version    INTEGER   NOT NULL CHECK (version > 0),
    changed_at TIMESTAMP NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE agent_switches;

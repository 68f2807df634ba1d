-- +goose Up
-- How agents' health changed, as each server saw it, with what was observed before the
-- change. agent_health keeps how they are; this is where they come from. No tenant's.
CREATE TABLE agent_health_changes (
    id            TEXT PRIMARY KEY,
    agent         TEXT NOT NULL, -- by name: no reference, since a server notes it when it can
    instance      TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('unknown', 'healthy', 'degraded', 'unhealthy')),
    was           TEXT NOT NULL CHECK (was IN ('unknown', 'healthy', 'degraded', 'unhealthy')),
    reason        TEXT NOT NULL,
    lasted_ms     INTEGER NOT NULL CHECK (lasted_ms >= 0),
    probes        INTEGER NOT NULL,
    probes_failed INTEGER NOT NULL,
    runs          INTEGER NOT NULL,
    runs_failed   INTEGER NOT NULL,
    created_at    TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX agent_health_changes_agent ON agent_health_changes (agent, id);
CREATE INDEX agent_health_changes_age ON agent_health_changes (created_at);

-- An agent that is drained begins nothing; a reset is felt by every server.
ALTER TABLE agent_switches ADD COLUMN drained BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE agent_switches ADD COLUMN reset_at TIMESTAMP;

-- +goose Down
ALTER TABLE agent_switches DROP COLUMN reset_at;
ALTER TABLE agent_switches DROP COLUMN drained;
DROP TABLE agent_health_changes;

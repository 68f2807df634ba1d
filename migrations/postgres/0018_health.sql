-- +goose Up
SET LOCAL lock_timeout = '2s';

-- How agents' health changed, as each server saw it, with what was observed before the
-- change. agent_health keeps how they are; this is where they come from. No tenant's.
CREATE TABLE agent_health_changes (
    id            uuid PRIMARY KEY,
    agent         text NOT NULL, -- by name: no reference, since a server notes it when it can
    instance      text NOT NULL,
    state         text NOT NULL CHECK (state IN ('unknown', 'healthy', 'degraded', 'unhealthy')),
    was           text NOT NULL CHECK (was IN ('unknown', 'healthy', 'degraded', 'unhealthy')),
    reason        text NOT NULL,
    lasted_ms     bigint NOT NULL CHECK (lasted_ms >= 0),
    probes        integer NOT NULL,
    probes_failed integer NOT NULL,
    runs          integer NOT NULL,
    runs_failed   integer NOT NULL,
    created_at    timestamptz NOT NULL
);
CREATE INDEX agent_health_changes_agent ON agent_health_changes (agent, id);
CREATE INDEX agent_health_changes_age ON agent_health_changes (created_at);

-- An agent that is drained begins nothing; a reset is felt by every server.
ALTER TABLE agent_switches ADD COLUMN drained boolean NOT NULL DEFAULT false;
ALTER TABLE agent_switches ADD COLUMN reset_at timestamptz;

-- +goose Down
SET LOCAL lock_timeout = '2s';
ALTER TABLE agent_switches DROP COLUMN reset_at;
ALTER TABLE agent_switches DROP COLUMN drained;
DROP TABLE agent_health_changes;

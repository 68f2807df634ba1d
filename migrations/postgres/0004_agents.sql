-- +goose Up
SET LOCAL lock_timeout = '2s';
-- The tables of agents, models and their health have been there from the first
-- step; servers fill them from now on.
COMMENT ON TABLE agents IS 'the agents of the platform, as the servers'' configuration has them';

-- +goose Down
SET LOCAL lock_timeout = '2s';
COMMENT ON TABLE agents IS NULL;

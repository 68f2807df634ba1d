-- +goose Up
SET LOCAL lock_timeout = '2s';

-- How long an organisation wants its data kept, in seconds; 0: as long as the server.
ALTER TABLE orgs ADD COLUMN keep_sessions_s bigint NOT NULL DEFAULT 0;
ALTER TABLE orgs ADD COLUMN keep_usage_s bigint NOT NULL DEFAULT 0;

-- +goose Down
SET LOCAL lock_timeout = '2s';
ALTER TABLE orgs DROP COLUMN keep_usage_s;
ALTER TABLE orgs DROP COLUMN keep_sessions_s;

-- +goose Up
-- How long an organisation wants its data kept, in seconds; 0: as long as the server.
ALTER TABLE orgs ADD COLUMN keep_sessions_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orgs ADD COLUMN keep_usage_s INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE orgs DROP COLUMN keep_usage_s;
ALTER TABLE orgs DROP COLUMN keep_sessions_s;

-- +goose Up
SET LOCAL lock_timeout = '2s';

-- All with constant defaults, so that no row is written. title_folded is the
-- title as it is searched in; null where an older build wrote the row.
ALTER TABLE chat_sessions
    ADD COLUMN archived     boolean NOT NULL DEFAULT false,
    ADD COLUMN version      bigint  NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN title_folded text;

-- +goose Down
SET LOCAL lock_timeout = '2s';
ALTER TABLE chat_sessions DROP COLUMN archived, DROP COLUMN version, DROP COLUMN title_folded;

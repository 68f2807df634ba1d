-- +goose Up
ALTER TABLE chat_sessions ADD COLUMN metadata     TEXT    NOT NULL DEFAULT '{}';
ALTER TABLE chat_sessions ADD COLUMN archived     BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE chat_sessions ADD COLUMN version      INTEGER NOT NULL DEFAULT 1;
ALTER TABLE chat_sessions ADD COLUMN title_folded TEXT;

-- +goose Down
ALTER TABLE chat_sessions DROP COLUMN title_folded;
ALTER TABLE chat_sessions DROP COLUMN version;
ALTER TABLE chat_sessions DROP COLUMN archived;
ALTER TABLE chat_sessions DROP COLUMN metadata;

-- +goose Up
ALTER TABLE usage ADD COLUMN key_id TEXT;

-- +goose Down
ALTER TABLE usage DROP COLUMN key_id;

-- +goose Up
-- The models that an organisation may ask for, one name to a line, as an API key's; empty: all.
ALTER TABLE orgs ADD COLUMN models TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE orgs DROP COLUMN models;

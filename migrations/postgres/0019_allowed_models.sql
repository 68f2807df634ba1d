-- +goose Up
SET LOCAL lock_timeout = '2s';

-- The models that an organisation may ask for, one name to a line, as an API key's; empty: all.
ALTER TABLE orgs ADD COLUMN models text NOT NULL DEFAULT '';

-- +goose Down
SET LOCAL lock_timeout = '2s';
ALTER TABLE orgs DROP COLUMN models;

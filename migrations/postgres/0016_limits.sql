-- +goose Up
SET LOCAL lock_timeout = '2s';

-- The limits that an organisation, a member or an API key was given, by name, as a JSON
-- object of integers; null: none.
ALTER TABLE orgs ADD COLUMN limits text;
ALTER TABLE memberships ADD COLUMN limits text;
ALTER TABLE api_keys ADD COLUMN limits text;

-- +goose Down
SET LOCAL lock_timeout = '2s';
ALTER TABLE api_keys DROP COLUMN limits;
ALTER TABLE memberships DROP COLUMN limits;
ALTER TABLE orgs DROP COLUMN limits;

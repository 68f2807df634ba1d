-- +goose Up
-- The limits that an organisation, a member or an API key was given, by name, as a JSON
-- object of integers; null: none.
ALTER TABLE orgs ADD COLUMN limits TEXT;
ALTER TABLE memberships ADD COLUMN limits TEXT;
ALTER TABLE api_keys ADD COLUMN limits TEXT;

-- +goose Down
ALTER TABLE api_keys DROP COLUMN limits;
ALTER TABLE memberships DROP COLUMN limits;
ALTER TABLE orgs DROP COLUMN limits;

-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Which API key was used; null: none, or it was not noted yet.
ALTER TABLE usage ADD COLUMN key_id uuid;
-- Whoever answers for the deployment sees what all have used.
CREATE POLICY platform ON usage FOR SELECT USING (current_setting('agentapi.platform', true) = 'on');

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP POLICY platform ON usage;
ALTER TABLE usage DROP COLUMN key_id;

-- +goose Up
-- Where one server writes, it makes the hashes by itself.
SELECT 1;

-- +goose Down
SELECT 1;

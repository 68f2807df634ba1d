-- +goose Up
-- Where one server writes, it counts by itself.
SELECT 1;

-- +goose Down
SELECT 1;

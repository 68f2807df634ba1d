-- +goose Up
-- Where one server writes, it reserves by itself.
SELECT 1;

-- +goose Down
SELECT 1;

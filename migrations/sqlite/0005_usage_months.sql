-- +goose Up
-- Months are the other database's; here rows go one by one. The versions keep step.
SELECT 1;

-- +goose Down
SELECT 1;

-- +goose Up
SET LOCAL lock_timeout = '2s';

-- What is to be set aside for a request that comes at a moment.
CREATE TYPE budget_reservation AS (id uuid, user_id uuid, key_id uuid, amount_micro bigint, expires_at timestamptz, at timestamptz);

-- reserve_budgets sets money aside for many requests at once, or for none: it fails with
-- QB001 where a budget has no room for all of them, of which it may have some for each
-- alone. It sets aside and then compares, in one statement, so that a request that ends
-- meanwhile counts by what was set aside for it or by what it has used. What has expired
-- for the last of them counts, where it has not for the first.
-- +goose StatementBegin
CREATE FUNCTION reserve_budgets(org uuid, wanted budget_reservation[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    first timestamptz := (SELECT min(w.at) FROM unnest(wanted) w);
BEGIN
    PERFORM pg_advisory_xact_lock_shared(budget_lock('opens', org));
    PERFORM pg_advisory_xact_lock(budget_lock('counts', org));
    IF (SELECT count(*) FROM (SELECT FROM budget_charges WHERE org_id = org LIMIT 32) c) = 32 THEN
        PERFORM fold_charges(org);
    END IF;
    INSERT INTO budget_holds SELECT org, w.id, w.user_id, w.key_id, w.amount_micro, w.expires_at FROM unnest(wanted) w;
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT b.id, b.user_id, b.key_id, b.period, b.limit_micro, budget_since(b.period, w.at) AS since
            FROM unnest(wanted) w JOIN budgets b ON b.org_id = org AND (b.user_id IS NULL OR b.user_id = w.user_id) AND (b.key_id IS NULL OR b.key_id = w.key_id)
        ) b LEFT JOIN budget_windows s ON s.org_id = org AND s.budget_id = b.id AND s.since = b.since
        WHERE b.limit_micro < coalesce(s.spent_micro, 0)
            + (SELECT coalesce(sum(c.cost_micro), 0) FROM budget_charges c WHERE c.org_id = org AND budget_since(b.period, c.created_at) = b.since
                AND (b.user_id IS NULL OR b.user_id = c.user_id) AND (b.key_id IS NULL OR b.key_id = c.key_id))
            + (SELECT coalesce(sum(h.amount_micro), 0) FROM budget_holds h WHERE h.org_id = org AND h.expires_at > first
                AND (b.user_id IS NULL OR b.user_id = h.user_id) AND (b.key_id IS NULL OR b.key_id = h.key_id))
    ) THEN
        RAISE EXCEPTION 'a budget has no room' USING ERRCODE = 'QB001';
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION reserve_budgets;
DROP TYPE budget_reservation;

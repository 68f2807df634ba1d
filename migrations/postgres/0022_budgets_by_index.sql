-- +goose Up
SET LOCAL lock_timeout = '2s';

-- What a request reserves, uses and gives back of budgets is there for a moment only, and
-- what is left of it in the tables stays until they are vacuumed. By the index it is passed
-- over once it was seen to be gone, but not by a bitmap.

-- +goose StatementBegin
-- As what it calls is stable, it is part of the query that it stands in.
CREATE OR REPLACE FUNCTION budget_since(period text, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE period WHEN 'total' THEN 'epoch'::timestamptz ELSE date_trunc(period, at, 'UTC') END
$$;
-- As before, but planned once in a connection.
CREATE OR REPLACE FUNCTION budget_lock(what text, org uuid) RETURNS bigint LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN hashtextextended('agentapi budget ' || what || ' ' || current_schema() || ' ' || org, 0);
END
$$;
-- Every record of usage is charged in the statement that books it, whoever books it: as one
-- charge for what a user has used with a key on a day, which is in the same periods.
CREATE OR REPLACE FUNCTION charge_budgets() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    org uuid := (SELECT org_id FROM booked WHERE cost_micro > 0 LIMIT 1);
BEGIN
    IF org IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared(budget_lock('opens', org));
        IF EXISTS (SELECT FROM budgets WHERE org_id = org) THEN
            INSERT INTO budget_charges
            SELECT org_id, (array_agg(id))[1], user_id, key_id, least(sum(cost_micro), 9223372036854775807)::bigint, max(created_at)
            FROM booked WHERE cost_micro > 0 GROUP BY org_id, user_id, key_id, date_trunc('day', created_at, 'UTC');
        END IF;
    END IF;
    RETURN NULL;
END
$$;
-- As before, but planned once in a connection.
CREATE OR REPLACE FUNCTION fold_charges(org uuid) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
    WITH gone AS (
        DELETE FROM budget_charges WHERE org_id = org RETURNING *
    )
    INSERT INTO budget_windows
    SELECT org, b.id, budget_since(b.period, g.created_at), least(sum(g.cost_micro), 9223372036854775807)::bigint
    FROM gone g JOIN budgets b ON b.org_id = org AND (b.user_id IS NULL OR b.user_id = g.user_id) AND (b.key_id IS NULL OR b.key_id = g.key_id)
    GROUP BY 2, 3
    ON CONFLICT (org_id, budget_id, since) DO UPDATE
    SET spent_micro = least(budget_windows.spent_micro::numeric + EXCLUDED.spent_micro, 9223372036854775807)::bigint;
END
$$;
-- As before, but its reservations are told apart by day only, and go by the index.
CREATE OR REPLACE FUNCTION reserve_budgets(org uuid, wanted budget_reservation[]) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off AS $$
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
            SELECT DISTINCT b.id, b.user_id, b.key_id, b.period, b.limit_micro, budget_since(b.period, w.day) AS since
            FROM (SELECT DISTINCT user_id, key_id, date_trunc('day', at, 'UTC') AS day FROM unnest(wanted)) w JOIN budgets b ON b.org_id = org AND (b.user_id IS NULL OR b.user_id = w.user_id) AND (b.key_id IS NULL OR b.key_id = w.key_id)
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
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION budget_since(period text, at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period WHEN 'total' THEN 'epoch'::timestamptz ELSE date_trunc(period, at, 'UTC') END
$$;
CREATE OR REPLACE FUNCTION budget_lock(what text, org uuid) RETURNS bigint LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT hashtextextended('agentapi budget ' || what || ' ' || current_schema() || ' ' || org, 0)
$$;
CREATE OR REPLACE FUNCTION charge_budgets() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    org uuid := (SELECT org_id FROM booked WHERE cost_micro > 0 LIMIT 1);
BEGIN
    IF org IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared(budget_lock('opens', org));
        IF EXISTS (SELECT FROM budgets WHERE org_id = org) THEN
            INSERT INTO budget_charges SELECT org_id, id, user_id, key_id, cost_micro, created_at FROM booked WHERE cost_micro > 0;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION fold_charges(org uuid) RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM budget_charges WHERE org_id = org RETURNING *
    )
    INSERT INTO budget_windows
    SELECT org, b.id, budget_since(b.period, g.created_at), least(sum(g.cost_micro), 9223372036854775807)::bigint
    FROM gone g JOIN budgets b ON b.org_id = org AND (b.user_id IS NULL OR b.user_id = g.user_id) AND (b.key_id IS NULL OR b.key_id = g.key_id)
    GROUP BY 2, 3
    ON CONFLICT (org_id, budget_id, since) DO UPDATE
    SET spent_micro = least(budget_windows.spent_micro::numeric + EXCLUDED.spent_micro, 9223372036854775807)::bigint
$$;
CREATE OR REPLACE FUNCTION reserve_budgets(org uuid, wanted budget_reservation[]) RETURNS void
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

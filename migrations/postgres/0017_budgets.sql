-- +goose Up
SET LOCAL lock_timeout = '2s';

-- What the tokens of a request cost, in millionths of the currency, at the prices of
-- its time.
ALTER TABLE usage ADD COLUMN cost_micro bigint NOT NULL DEFAULT 0 CHECK (cost_micro >= 0);

CREATE TABLE budgets (
    org_id      uuid        NOT NULL,
    id          uuid        NOT NULL,
    user_id     uuid, -- null unless it is a user's
    key_id      uuid, -- null unless it is a key's
    period      text        NOT NULL CHECK (period IN ('day', 'month', 'total')),
    limit_micro bigint      NOT NULL CHECK (limit_micro >= 0),
    version     bigint      NOT NULL CHECK (version > 0),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX budgets_whose ON budgets (org_id, coalesce(user_id, '00000000-0000-0000-0000-000000000000'), coalesce(key_id, '00000000-0000-0000-0000-000000000000'), period);

-- What was spent of a budget in each of its periods, but for the charges that stand
-- beside.
CREATE TABLE budget_windows (
    org_id      uuid        NOT NULL,
    budget_id   uuid        NOT NULL,
    since       timestamptz NOT NULL,
    spent_micro bigint      NOT NULL,
    PRIMARY KEY (org_id, budget_id, since),
    FOREIGN KEY (org_id, budget_id) REFERENCES budgets (org_id, id) ON DELETE CASCADE
);
-- What usage has cost and no window has counted yet. It only grows but for whoever
-- holds the organisation's lock, so that booking waits for nobody.
CREATE TABLE budget_charges (
    org_id     uuid        NOT NULL,
    id         uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    key_id     uuid,
    cost_micro bigint      NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
-- What is set aside for requests that run.
CREATE TABLE budget_holds (
    org_id       uuid        NOT NULL,
    id           uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    key_id       uuid,
    amount_micro bigint      NOT NULL CHECK (amount_micro >= 0),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX budget_holds_expire ON budget_holds (expires_at);

ALTER TABLE budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE budgets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budgets
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE budget_windows ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_windows FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budget_windows
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE budget_charges ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_charges FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budget_charges
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE budget_holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_holds FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budget_holds
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
CREATE POLICY expired_see ON budget_holds FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.budgets', true) = 'on');
CREATE POLICY expired_lock ON budget_holds FOR UPDATE TO CURRENT_USER USING (current_setting('agentapi.budgets', true) = 'on') WITH CHECK (false);
CREATE POLICY expired_drop ON budget_holds FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.budgets', true) = 'on');

-- +goose StatementBegin
CREATE FUNCTION budget_since(period text, at timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period WHEN 'total' THEN 'epoch'::timestamptz ELSE date_trunc(period, at, 'UTC') END
$$;
-- Of the locks of an organisation, 'opens' is shared by whoever books or reserves, so
-- that none misses a budget that is being made; and 'counts', taken after it, lets one
-- at a time ask whether there is room.
CREATE FUNCTION budget_lock(what text, org uuid) RETURNS bigint LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT hashtextextended('agentapi budget ' || what || ' ' || current_schema() || ' ' || org, 0)
$$;
-- Every record of usage is charged in the statement that books it, whoever books it.
CREATE FUNCTION charge_budgets() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
CREATE TRIGGER charge_budgets AFTER INSERT ON usage REFERENCING NEW TABLE AS booked FOR EACH STATEMENT EXECUTE FUNCTION charge_budgets();

-- fold_charges counts charges in the windows; 'counts' must be held, or 'opens' alone.
CREATE FUNCTION fold_charges(org uuid) RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
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

-- open_budget makes a budget, which has spent what its period has cost before. Usage is
-- charged with its booking where the organisation has a budget, and both are seen or
-- neither: what one statement sees of usage is what it takes out of the charges, so that
-- nobody has to be waited for who is booking. Only for an organisation's first budget it
-- waits for those who have seen none. The lock on one of the others keeps it from being
-- removed meanwhile.
CREATE FUNCTION open_budget(org uuid, budget uuid, usr uuid, key uuid, its_period text, most bigint, at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    begun timestamptz := budget_since(its_period, at);
    -- An id is of the moment when its request began, which is some hours before at most.
    -- In the query it would be told anew for each row.
    first uuid := usage_bound(greatest(begun - interval '24 hours', 'epoch'));
BEGIN
    PERFORM FROM budgets b WHERE b.org_id = org ORDER BY b.id LIMIT 1 FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM pg_advisory_xact_lock(budget_lock('opens', org));
    END IF;
    PERFORM pg_advisory_xact_lock(budget_lock('counts', org));
    WITH gone AS (
        DELETE FROM budget_charges WHERE org_id = org RETURNING *
    ), counted AS (
        INSERT INTO budget_windows
        SELECT org, b.id, budget_since(b.period, g.created_at), least(sum(g.cost_micro), 9223372036854775807)::bigint
        FROM gone g JOIN budgets b ON b.org_id = org AND (b.user_id IS NULL OR b.user_id = g.user_id) AND (b.key_id IS NULL OR b.key_id = g.key_id)
        GROUP BY 2, 3
        ON CONFLICT (org_id, budget_id, since) DO UPDATE
        SET spent_micro = least(budget_windows.spent_micro::numeric + EXCLUDED.spent_micro, 9223372036854775807)::bigint
    ), made AS (
        INSERT INTO budgets VALUES (org, budget, usr, key, its_period, most, 1, at, at)
    )
    INSERT INTO budget_windows
    SELECT org, budget, begun, least(coalesce(sum(u.cost_micro), 0), 9223372036854775807)::bigint FROM usage u
    WHERE u.org_id = org AND u.id >= first AND u.created_at >= begun
        AND (usr IS NULL OR u.user_id = usr) AND (key IS NULL OR u.key_id = key);
END
$$;

-- reserve_budget sets money aside, or fails with QB001 where a budget has no room. What
-- it compares it reads in one statement, so that a request that ends meanwhile counts
-- by what was set aside for it or by what it has used.
CREATE FUNCTION reserve_budget(org uuid, hold uuid, usr uuid, key uuid, amount bigint, at timestamptz, expires timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(budget_lock('opens', org));
    PERFORM pg_advisory_xact_lock(budget_lock('counts', org));
    IF (SELECT count(*) FROM (SELECT FROM budget_charges WHERE org_id = org LIMIT 32) c) = 32 THEN
        PERFORM fold_charges(org);
    END IF;
    IF EXISTS (
        SELECT FROM budgets b LEFT JOIN budget_windows w ON w.org_id = b.org_id AND w.budget_id = b.id AND w.since = budget_since(b.period, at)
        WHERE b.org_id = org AND (b.user_id IS NULL OR b.user_id = usr) AND (b.key_id IS NULL OR b.key_id = key)
            AND b.limit_micro < amount::numeric + coalesce(w.spent_micro, 0)
                + (SELECT coalesce(sum(c.cost_micro), 0) FROM budget_charges c WHERE c.org_id = org AND budget_since(b.period, c.created_at) = budget_since(b.period, at)
                    AND (b.user_id IS NULL OR b.user_id = c.user_id) AND (b.key_id IS NULL OR b.key_id = c.key_id))
                + (SELECT coalesce(sum(h.amount_micro), 0) FROM budget_holds h WHERE h.org_id = org AND h.expires_at > at
                    AND (b.user_id IS NULL OR b.user_id = h.user_id) AND (b.key_id IS NULL OR b.key_id = h.key_id))
    ) THEN
        RAISE EXCEPTION 'a budget has no room' USING ERRCODE = 'QB001';
    END IF;
    INSERT INTO budget_holds VALUES (org, hold, usr, key, amount, expires);
END
$$;

-- Forgetting what has expired goes across tenants; the server's role may call this.
CREATE FUNCTION drop_holds(before timestamptz, most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.budgets', 'on', true);
    WITH gone AS (
        DELETE FROM budget_holds WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM budget_holds WHERE expires_at <= before ORDER BY expires_at LIMIT most FOR UPDATE SKIP LOCKED
        )) RETURNING 1
    ) SELECT count(*) FROM gone
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION drop_holds FROM PUBLIC;

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP TRIGGER charge_budgets ON usage;
DROP FUNCTION drop_holds;
DROP FUNCTION reserve_budget;
DROP FUNCTION open_budget;
DROP FUNCTION fold_charges;
DROP FUNCTION charge_budgets;
DROP FUNCTION budget_lock;
DROP FUNCTION budget_since;
DROP TABLE budget_holds;
DROP TABLE budget_charges;
DROP TABLE budget_windows;
DROP TABLE budgets;
ALTER TABLE usage DROP COLUMN cost_micro;

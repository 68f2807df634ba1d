-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Usage is kept in months, so that retention drops a month as a whole. An id says
-- when it was made; what there is so far is the part of the month that it is now.
-- The check that no row is of a later one reads the table once.
CREATE FUNCTION usage_bound(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
ALTER TABLE usage RENAME TO usage_before;
ALTER INDEX usage_pkey RENAME TO usage_before_pkey;
ALTER INDEX usage_user RENAME TO usage_before_user;
ALTER INDEX usage_created RENAME TO usage_before_created;
CREATE TABLE usage (LIKE usage_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (org_id, id)) PARTITION BY RANGE (id);
CREATE INDEX usage_user ON usage (org_id, user_id) INCLUDE (prompt_tokens, completion_tokens);
CREATE INDEX usage_created ON usage USING brin (created_at) WITH (pages_per_range = 32);
-- +goose StatementBegin
DO $$
DECLARE
    month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    name  text      := 'usage_' || to_char(month, 'YYYY_MM');
BEGIN
    EXECUTE format('ALTER TABLE usage_before RENAME TO %I', name);
    EXECUTE format('ALTER TABLE usage ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)', name, usage_bound((month + interval '1 month') AT TIME ZONE 'UTC'));
END
$$;
-- +goose StatementEnd
CREATE TABLE usage_default PARTITION OF usage DEFAULT; -- what comes before its month is made, or after it was dropped

-- A part is asked through the whole, whose policies then hold; its own are for who
-- would go past it.
ALTER TABLE usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON usage
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
CREATE POLICY upkeep_see ON usage FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep_lock ON usage FOR UPDATE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on') WITH CHECK (false);
CREATE POLICY upkeep ON usage FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
ALTER TABLE usage_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_default FORCE ROW LEVEL SECURITY;
CREATE POLICY upkeep_see ON usage_default FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep ON usage_default FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');

-- +goose StatementBegin
-- A row is found by its key now: two parts may have rows in the same place.
CREATE OR REPLACE FUNCTION expire_usage(before timestamptz, only_org uuid, except_orgs uuid[], most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.upkeep', 'on', true);
    WITH old AS (
        SELECT org_id, id FROM usage WHERE created_at < before AND (only_org IS NULL OR org_id = only_org) AND org_id <> ALL (except_orgs)
        LIMIT most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM usage u USING old WHERE u.org_id = old.org_id AND u.id = old.id RETURNING 1
    ) SELECT count(*) FROM gone
$$;
-- make_usage_months makes the month of a moment and the one after it.
CREATE FUNCTION make_usage_months(at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month  timestamp;
    name   text;
    ending uuid;
BEGIN
    PERFORM set_config('agentapi.upkeep', 'on', true);
    FOR i IN 0..1 LOOP
        month := date_trunc('month', at AT TIME ZONE 'UTC') + i * interval '1 month';
        name := 'usage_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN name <= (SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'usage'::regclass AND inhrelid <> 'usage_default'::regclass);
        ending := usage_bound((month + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE %I (LIKE usage INCLUDING ALL)', name);
        EXECUTE format('WITH early AS (DELETE FROM usage_default WHERE id >= %L AND id < %L RETURNING *) INSERT INTO %I SELECT * FROM early',
            usage_bound(month AT TIME ZONE 'UTC'), ending, name);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY upkeep_see ON %I FOR SELECT TO CURRENT_USER USING (current_setting(''agentapi.upkeep'', true) = ''on'')', name);
        EXECUTE format('ALTER TABLE usage ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, usage_bound(month AT TIME ZONE 'UTC'), ending);
    END LOOP;
END
$$;
-- drop_usage_month drops the oldest month, if nothing in it is to be kept, and tells
-- how much was in it; null: there is none. It counts before it locks anything.
CREATE FUNCTION drop_usage_month(before timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    name text := (SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'usage'::regclass AND inhrelid <> 'usage_default'::regclass);
    n    bigint;
BEGIN
    PERFORM set_config('agentapi.upkeep', 'on', true);
    IF (to_date(right(name, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= before THEN
        EXECUTE format('SELECT count(*) FROM %I', name) INTO n;
        EXECUTE format('DROP TABLE %I', name);
    END IF;
    RETURN n;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION make_usage_months, drop_usage_month FROM PUBLIC;

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION drop_usage_month;
DROP FUNCTION make_usage_months;
ALTER TABLE usage DISABLE ROW LEVEL SECURITY;
CREATE TABLE usage_whole (LIKE usage INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO usage_whole SELECT * FROM usage;
DROP TABLE usage;
DROP FUNCTION usage_bound;
ALTER TABLE usage_whole RENAME TO usage;
ALTER TABLE usage ADD PRIMARY KEY (org_id, id);
CREATE INDEX usage_user ON usage (org_id, user_id) INCLUDE (prompt_tokens, completion_tokens);
CREATE INDEX usage_created ON usage USING brin (created_at) WITH (pages_per_range = 32);
ALTER TABLE usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON usage
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
CREATE POLICY upkeep_see ON usage FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep_lock ON usage FOR UPDATE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on') WITH CHECK (false);
CREATE POLICY upkeep ON usage FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION expire_usage(before timestamptz, only_org uuid, except_orgs uuid[], most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.upkeep', 'on', true);
    WITH gone AS (
        DELETE FROM usage WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM usage WHERE created_at < before AND (only_org IS NULL OR org_id = only_org) AND org_id <> ALL (except_orgs)
            LIMIT most FOR UPDATE SKIP LOCKED
        )) RETURNING 1
    ) SELECT count(*) FROM gone
$$;
-- +goose StatementEnd

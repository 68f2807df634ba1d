-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Who does what only one server shall do at a time.
CREATE TABLE leases (
    name   text        PRIMARY KEY,
    holder text        NOT NULL,
    until  timestamptz NOT NULL
);

-- What is old is found by its age; it lies together, for it was written then.
CREATE INDEX chat_sessions_updated ON chat_sessions USING brin (updated_at) WITH (pages_per_range = 32);
CREATE INDEX usage_created ON usage USING brin (created_at) WITH (pages_per_range = 32);

-- Letting go of what is old goes across tenants. The server's role cannot: it may
-- call these functions only, in which their owner sees all rows.
-- The setting opens them to the owner only, and ends with the transaction.
CREATE POLICY upkeep_see ON chat_sessions FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep_lock ON chat_sessions FOR UPDATE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on') WITH CHECK (false);
CREATE POLICY upkeep ON chat_sessions FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep_see ON chat_messages FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep ON chat_messages FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep_see ON usage FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
CREATE POLICY upkeep_lock ON usage FOR UPDATE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on') WITH CHECK (false);
CREATE POLICY upkeep ON usage FOR DELETE TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
-- +goose StatementBegin
-- expire_sessions removes turns of old sessions, and those sessions that have none
-- left; a session may have any number of turns.
CREATE FUNCTION expire_sessions(before timestamptz, only_org uuid, except_orgs uuid[], most integer, at_once integer, OUT gone bigint, OUT more boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE old tid[];
BEGIN
    PERFORM set_config('agentapi.upkeep', 'on', true);
    old := ARRAY(
        SELECT ctid FROM chat_sessions WHERE updated_at < before AND (only_org IS NULL OR org_id = only_org) AND org_id <> ALL (except_orgs)
        LIMIT most FOR UPDATE SKIP LOCKED
    );
    DELETE FROM chat_messages WHERE ctid = ANY (ARRAY(
        SELECT m.ctid FROM chat_sessions s JOIN chat_messages m ON m.org_id = s.org_id AND m.session_id = s.id WHERE s.ctid = ANY (old) LIMIT at_once
    ));
    DELETE FROM chat_sessions s WHERE s.ctid = ANY (old)
        AND NOT EXISTS (SELECT FROM chat_messages m WHERE m.org_id = s.org_id AND m.session_id = s.id);
    GET DIAGNOSTICS gone = ROW_COUNT;
    more := cardinality(old) = most OR gone < cardinality(old);
END
$$;
CREATE FUNCTION expire_usage(before timestamptz, only_org uuid, except_orgs uuid[], most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.upkeep', 'on', true);
    WITH gone AS (
        DELETE FROM usage WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM usage WHERE created_at < before AND (only_org IS NULL OR org_id = only_org) AND org_id <> ALL (except_orgs)
            LIMIT most FOR UPDATE SKIP LOCKED
        )) RETURNING 1
    ) SELECT count(*) FROM gone
$$;
CREATE FUNCTION expiring(kind text, before timestamptz, only_org uuid, except_orgs uuid[]) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.upkeep', 'on', true);
    SELECT CASE kind
        WHEN 'sessions' THEN (SELECT count(*) FROM chat_sessions WHERE updated_at < before AND (only_org IS NULL OR org_id = only_org) AND org_id <> ALL (except_orgs))
        WHEN 'usage' THEN (SELECT count(*) FROM usage WHERE created_at < before AND (only_org IS NULL OR org_id = only_org) AND org_id <> ALL (except_orgs))
    END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION expire_sessions, expire_usage, expiring FROM PUBLIC;

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION expiring;
DROP FUNCTION expire_usage;
DROP FUNCTION expire_sessions;
DROP POLICY upkeep ON usage;
DROP POLICY upkeep_lock ON usage;
DROP POLICY upkeep_see ON usage;
DROP POLICY upkeep ON chat_messages;
DROP POLICY upkeep_see ON chat_messages;
DROP POLICY upkeep ON chat_sessions;
DROP POLICY upkeep_lock ON chat_sessions;
DROP POLICY upkeep_see ON chat_sessions;
DROP INDEX usage_created;
DROP INDEX chat_sessions_updated;
DROP TABLE leases;

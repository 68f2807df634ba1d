-- +goose Up
SET LOCAL lock_timeout = '2s';

-- What was retired: the entries through last, whose hash it is, as the entry with
-- the number recorded says.
CREATE TABLE audit_retired (
    last     bigint PRIMARY KEY,
    hash     bytea  NOT NULL,
    recorded bigint NOT NULL
);

-- Where the chains of organisations stood whose last entry was retired.
CREATE TABLE audit_places (
    org_id  uuid   PRIMARY KEY,
    org_seq bigint NOT NULL,
    hash    bytea  NOT NULL
);

ALTER TABLE audit_places ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_places FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_places
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
CREATE POLICY trail ON audit_places
    USING (current_setting('agentapi.audit', true) = 'on') WITH CHECK (current_setting('agentapi.audit', true) = 'on');

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit' THEN
        IF OLD.seq <= (SELECT max(r.last) FROM audit_retired r) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE POLICY retire ON audit FOR DELETE USING (current_setting('agentapi.audit', true) = 'on');

-- The only way for an entry to go: an entry that is behind it, and stays, says so.
-- It returns how many went, or -1 where no entry says so.
-- +goose StatementBegin
CREATE FUNCTION audit_retire(through bigint, expected bytea, said_by bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    said jsonb;
    gone bigint;
BEGIN
    PERFORM set_config('agentapi.audit', 'on', true);
    SELECT convert_from(a.canon, 'UTF8')::jsonb INTO said FROM audit a WHERE a.chain = 1 AND a.seq = said_by AND said_by > through;
    IF said IS NULL OR said ->> 'action' <> 'audit.retention' OR said ->> 'outcome' <> 'ok'
        OR said #>> '{details,last}' IS DISTINCT FROM through::text OR said #>> '{details,last_hash}' IS DISTINCT FROM encode(expected, 'hex')
        OR NOT EXISTS (SELECT FROM audit a WHERE a.chain = 1 AND a.seq = through AND a.hash = expected) THEN
        RETURN -1;
    END IF;
    INSERT INTO audit_retired VALUES (through, expected, said_by);
    INSERT INTO audit_places AS p
        SELECT DISTINCT ON (a.org_id) a.org_id, a.org_seq, a.hash FROM audit a
        WHERE a.chain = 1 AND a.seq <= through AND a.org_id IS NOT NULL ORDER BY a.org_id, a.org_seq DESC
        ON CONFLICT (org_id) DO UPDATE SET org_seq = excluded.org_seq, hash = excluded.hash;
    DELETE FROM audit a WHERE a.chain = 1 AND a.seq <= through;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION audit_retire FROM PUBLIC;

-- As before, but an organisation whose entries were all retired goes on where it was.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION audit_append(orgs uuid[], heads text[], tails text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    none   CONSTANT bytea := decode(repeat('00', 32), 'hex');
    tag    CONSTANT bytea := convert_to('agentapi-audit-v1', 'UTF8') || '\x00'::bytea || int8send(1);
    n      bigint;
    before bytea;
    own    bigint;
    own_before bytea;
    whole  text;
    bytes  bytea;
    sealed bytea;
    said   jsonb;
BEGIN
    PERFORM set_config('agentapi.audit', 'on', true);
    PERFORM pg_advisory_xact_lock(hashtext('agentapi audit ' || current_schema()));
    SELECT a.seq, a.hash INTO n, before FROM audit a WHERE a.chain = 1 ORDER BY a.seq DESC LIMIT 1;
    n := coalesce(n, 0);
    before := coalesce(before, none);
    FOR i IN 1 .. cardinality(heads) LOOP
        whole := heads[i];
        IF orgs[i] IS NULL THEN
            own := NULL;
        ELSE
            IF i = 1 OR orgs[i] IS DISTINCT FROM orgs[i - 1] THEN
                SELECT a.org_seq, a.hash INTO own, own_before FROM audit a WHERE a.chain = 1 AND a.org_id = orgs[i] ORDER BY a.org_seq DESC LIMIT 1;
                IF own IS NULL THEN
                    SELECT p.org_seq, p.hash INTO own, own_before FROM audit_places p WHERE p.org_id = orgs[i];
                END IF;
            END IF;
            own := coalesce(own, 0) + 1;
            whole := whole || ',"org_prev":"' || encode(coalesce(own_before, none), 'hex') || '","org_seq":' || own;
        END IF;
        whole := whole || tails[i];
        bytes := convert_to(whole, 'UTF8');
        n := n + 1;
        sealed := sha256(tag || int8send(n) || before || int4send(octet_length(bytes)) || bytes);
        said := whole::jsonb;
        INSERT INTO audit VALUES (1, n, orgs[i], own, (said ->> 'id')::uuid, (said ->> 'at')::bigint, said ->> 'actor', said ->> 'action',
            coalesce(said ->> 'target', ''), said ->> 'outcome', coalesce(said ->> 'request', ''), said ->> 'instance', bytes, before, sealed);
        before := sealed;
        own_before := sealed;
    END LOOP;
    RETURN n;
END
$$;
-- +goose StatementEnd

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION audit_retire;
DROP POLICY retire ON audit;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION audit_append(orgs uuid[], heads text[], tails text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    none   CONSTANT bytea := decode(repeat('00', 32), 'hex');
    tag    CONSTANT bytea := convert_to('agentapi-audit-v1', 'UTF8') || '\x00'::bytea || int8send(1);
    n      bigint;
    before bytea;
    own    bigint;
    own_before bytea;
    whole  text;
    bytes  bytea;
    sealed bytea;
    said   jsonb;
BEGIN
    PERFORM set_config('agentapi.audit', 'on', true);
    PERFORM pg_advisory_xact_lock(hashtext('agentapi audit ' || current_schema()));
    SELECT a.seq, a.hash INTO n, before FROM audit a WHERE a.chain = 1 ORDER BY a.seq DESC LIMIT 1;
    n := coalesce(n, 0);
    before := coalesce(before, none);
    FOR i IN 1 .. cardinality(heads) LOOP
        whole := heads[i];
        IF orgs[i] IS NULL THEN
            own := NULL;
        ELSE
            IF i = 1 OR orgs[i] IS DISTINCT FROM orgs[i - 1] THEN
                SELECT a.org_seq, a.hash INTO own, own_before FROM audit a WHERE a.chain = 1 AND a.org_id = orgs[i] ORDER BY a.org_seq DESC LIMIT 1;
            END IF;
            own := coalesce(own, 0) + 1;
            whole := whole || ',"org_prev":"' || encode(coalesce(own_before, none), 'hex') || '","org_seq":' || own;
        END IF;
        whole := whole || tails[i];
        bytes := convert_to(whole, 'UTF8');
        n := n + 1;
        sealed := sha256(tag || int8send(n) || before || int4send(octet_length(bytes)) || bytes);
        said := whole::jsonb;
        INSERT INTO audit VALUES (1, n, orgs[i], own, (said ->> 'id')::uuid, (said ->> 'at')::bigint, said ->> 'actor', said ->> 'action',
            coalesce(said ->> 'target', ''), said ->> 'outcome', coalesce(said ->> 'request', ''), said ->> 'instance', bytes, before, sealed);
        before := sealed;
        own_before := sealed;
    END LOOP;
    RETURN n;
END
$$;
-- +goose StatementEnd
DROP TABLE audit_places;
DROP TABLE audit_retired;

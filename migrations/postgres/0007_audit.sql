-- +goose Up
SET LOCAL lock_timeout = '2s';

-- The audit log. The truth is in canon; the columns beside it are copies, to be
-- asked for. The key is what keeps two servers from going on from one entry.
CREATE TABLE audit (
    chain    integer NOT NULL,
    seq      bigint  NOT NULL CHECK (seq > 0),
    org_id   uuid,
    org_seq  bigint,
    id       uuid    NOT NULL,
    at_us    bigint  NOT NULL,
    actor    text    NOT NULL,
    action   text    NOT NULL,
    target   text    NOT NULL,
    outcome  text    NOT NULL,
    request  text    NOT NULL,
    instance text    NOT NULL,
    canon    bytea   NOT NULL,
    prev     bytea   NOT NULL CHECK (octet_length(prev) = 32),
    hash     bytea   NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (chain, seq)
);
CREATE UNIQUE INDEX audit_org ON audit (org_id, chain, org_seq) INCLUDE (hash) WHERE org_id IS NOT NULL;
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_at ON audit USING brin (at_us) WITH (pages_per_range = 32);

CREATE TABLE audit_checkpoints (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size   bigint NOT NULL,
    note   text   NOT NULL
);

-- Who a pseudonym is, and what commitments are of: all that is personal, and all
-- that is ever removed.
CREATE TABLE audit_subjects (
    org_id  uuid  NOT NULL,
    user_id uuid  NOT NULL,
    id      uuid  NOT NULL,
    salt    bytea NOT NULL,
    PRIMARY KEY (org_id, user_id)
);
CREATE UNIQUE INDEX audit_subjects_id ON audit_subjects (org_id, id);
CREATE TABLE audit_values (
    org_id     uuid NOT NULL,
    subject_id uuid NOT NULL,
    name       text NOT NULL,
    commitment text NOT NULL,
    clear      text NOT NULL,
    PRIMARY KEY (org_id, subject_id, name, commitment)
);

-- +goose StatementBegin
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE ON audit_checkpoints FOR EACH ROW EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();

-- An organisation sees its own entries; who reads the whole trail says so to the
-- transaction.
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit FOR SELECT USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
CREATE POLICY trail ON audit FOR SELECT USING (current_setting('agentapi.audit', true) = 'on');
CREATE POLICY append ON audit FOR INSERT WITH CHECK (current_setting('agentapi.audit', true) = 'on');
ALTER TABLE audit_subjects ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_subjects FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_subjects
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);
ALTER TABLE audit_values ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_values FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_values
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);

-- Entries are chained here, in the statement before the commit: the lock keeps
-- other servers out from the reading of the head until it has moved, and costs no
-- round trip. heads and tails are an entry's canonical bytes before and after its
-- place in its organisation's chain. The server's role may only call this. Its
-- plans are kept: one that was made while the table was empty must not read all of
-- it later.
-- +goose StatementBegin
CREATE FUNCTION audit_append(orgs uuid[], heads text[], tails text[]) RETURNS bigint
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
REVOKE ALL ON FUNCTION audit_append FROM PUBLIC;

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION audit_append;
DROP TABLE audit_values;
DROP TABLE audit_subjects;
DROP TABLE audit_checkpoints;
DROP TABLE audit;
DROP FUNCTION audit_only_grows;

-- +goose Up
SET LOCAL lock_timeout = '2s';

-- As before, but the entries of a batch are stored in one statement. The hashes are
-- still made one after the other, as each is of the one before.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION audit_append(orgs uuid[], heads text[], tails text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    none   CONSTANT bytea := decode(repeat('00', 32), 'hex');
    tag    CONSTANT bytea := convert_to('agentapi-audit-v1', 'UTF8') || '\x00'::bytea || int8send(1);
    most   CONSTANT integer := cardinality(heads);
    first  bigint;
    before bytea;
    own    bigint;
    own_before bytea;
    places integer[];
    bytes  bytea;
    wholes text[] := heads;
    owns   bigint[] := array_fill(NULL::bigint, ARRAY[most]);
    hashes bytea[] := array_fill(NULL::bytea, ARRAY[most + 1]); -- the first is that of the entry before
BEGIN
    PERFORM set_config('agentapi.audit', 'on', true);
    PERFORM pg_advisory_xact_lock(hashtext('agentapi audit ' || current_schema()));
    SELECT a.seq, a.hash INTO first, before FROM audit a WHERE a.chain = 1 ORDER BY a.seq DESC LIMIT 1;
    first := coalesce(first, 0);
    before := coalesce(before, none);
    hashes[1] := before;
    FOR i IN 1 .. most LOOP
        IF orgs[i] IS NULL THEN
            wholes[i] := heads[i] || tails[i];
        ELSE
            IF i = 1 OR orgs[i] IS DISTINCT FROM orgs[i - 1] THEN
                -- What was chained here is not in the table yet.
                places := array_positions(orgs[:i - 1], orgs[i]);
                own := owns[places[cardinality(places)]];
                own_before := hashes[places[cardinality(places)] + 1];
                IF own IS NULL THEN
                    SELECT a.org_seq, a.hash INTO own, own_before FROM audit a WHERE a.chain = 1 AND a.org_id = orgs[i] ORDER BY a.org_seq DESC LIMIT 1;
                END IF;
                IF own IS NULL THEN
                    SELECT p.org_seq, p.hash INTO own, own_before FROM audit_places p WHERE p.org_id = orgs[i];
                END IF;
            END IF;
            own := coalesce(own, 0) + 1;
            owns[i] := own;
            wholes[i] := heads[i] || ',"org_prev":"' || encode(coalesce(own_before, none), 'hex') || '","org_seq":' || own || tails[i];
        END IF;
        bytes := convert_to(wholes[i], 'UTF8');
        before := sha256(tag || int8send(first + i) || before || int4send(octet_length(bytes)) || bytes);
        hashes[i + 1] := before;
        own_before := before;
    END LOOP;
    INSERT INTO audit SELECT 1, first + e.i, e.org, e.own, e.id, e.at, e.actor, e.action, coalesce(e.target, ''), e.outcome, coalesce(e.request, ''), e.instance,
            convert_to(e.whole, 'UTF8'), e.prev, e.hash
        FROM ROWS FROM (unnest(orgs, owns, wholes, hashes[:most], hashes[2:]),
            json_to_recordset(('[' || array_to_string(wholes, ',') || ']')::json) AS (id uuid, at bigint, actor text, action text, target text, outcome text, request text, instance text))
            WITH ORDINALITY AS e(org, own, whole, prev, hash, id, at, actor, action, target, outcome, request, instance, i);
    RETURN first + most;
END
$$;
-- +goose StatementEnd

-- +goose Down
SET LOCAL lock_timeout = '2s';
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

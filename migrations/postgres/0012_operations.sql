-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Which agents administrators have taken out of service. It stands apart from the
-- mirror of the configuration, which every start writes anew.
CREATE TABLE agent_switches (
    name       text        PRIMARY KEY,
    off        boolean     NOT NULL,
    version    bigint      NOT NULL CHECK (version > 0),
    changed_at timestamptz NOT NULL
);

-- How much there is goes across tenants: the server's role may ask for numbers, and
-- sees no row. Each count stops at most, so that none reads for long.
CREATE POLICY census ON api_keys FOR SELECT TO CURRENT_USER USING (current_setting('agentapi.upkeep', true) = 'on');
-- +goose StatementBegin
CREATE FUNCTION consumed(since timestamptz, most bigint, OUT requests bigint, OUT prompt bigint, OUT completion bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('agentapi.upkeep', 'on', true);
    -- An id is of the moment when its request began, which is some hours before at
    -- most; it says in which months to look.
    SELECT count(*), coalesce(sum(u.prompt_tokens), 0), coalesce(sum(u.completion_tokens), 0) INTO requests, prompt, completion
    FROM (SELECT prompt_tokens, completion_tokens FROM usage
        WHERE id >= usage_bound(since - interval '4 hours') AND created_at >= since LIMIT most) u;
END
$$;
CREATE FUNCTION census(most bigint, OUT orgs bigint, OUT users bigint, OUT keys bigint, OUT sessions bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('agentapi.upkeep', 'on', true);
    SELECT count(*) INTO orgs FROM (SELECT FROM orgs LIMIT most) o;
    SELECT count(*) INTO users FROM (SELECT FROM users LIMIT most) u;
    SELECT count(*) INTO keys FROM (SELECT FROM api_keys WHERE revoked_at IS NULL LIMIT most) k;
    SELECT count(*) INTO sessions FROM (SELECT FROM chat_sessions LIMIT most) s;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION census, consumed FROM PUBLIC;

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP FUNCTION census;
DROP FUNCTION consumed;
DROP POLICY census ON api_keys;
DROP TABLE agent_switches;

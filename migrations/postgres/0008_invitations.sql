-- +goose Up
SET LOCAL lock_timeout = '2s';

CREATE TABLE invitations (
    org_id      uuid        NOT NULL REFERENCES orgs (id),
    id          uuid        NOT NULL,
    email       text        NOT NULL,
    email_key   text        NOT NULL,
    role        text        NOT NULL,
    invited_by  uuid        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('pending', 'accepted', 'expired', 'revoked')),
    expires_at  timestamptz NOT NULL,
    accepted_by uuid,
    accepted_at timestamptz,
    version     bigint      NOT NULL CHECK (version > 0),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX invitations_pending ON invitations (org_id, email_key) WHERE status = 'pending';
CREATE INDEX invitations_email ON invitations (email_key) WHERE status = 'pending';

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations
    USING (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('agentapi.org_id', true), '')::uuid);

-- Who logs in without naming a tenant may have been invited by one. The server's role
-- may ask for one invitation at a time, by its address, through this function.
CREATE POLICY find ON invitations FOR SELECT TO CURRENT_USER USING (email_key = nullif(current_setting('agentapi.find_invited', true), ''));
-- +goose StatementBegin
CREATE FUNCTION find_invitation(whose text, address text, moment timestamptz) RETURNS SETOF invitations
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT set_config('agentapi.find_invited', address, true);
    SELECT i.* FROM invitations i JOIN orgs o ON o.id = i.org_id
        WHERE i.email_key = address AND i.status = 'pending' AND i.expires_at > moment AND o.issuer = whose AND o.status = 'active'
        ORDER BY i.id LIMIT 1
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION find_invitation FROM PUBLIC;

-- Where a token acts that names no tenant.
ALTER TABLE users ADD COLUMN home uuid;

-- What lists are searched in; null in rows of builds that did not search.
ALTER TABLE memberships ADD COLUMN folded text;
ALTER TABLE orgs ADD COLUMN folded text;
CREATE INDEX orgs_folded ON orgs (coalesce(folded, lower(title)) COLLATE "C");
CREATE INDEX orgs_name ON orgs (name);
CREATE INDEX orgs_status ON orgs (status, id) WHERE status <> 'active';
CREATE INDEX users_subject ON users (subject COLLATE "C");
CREATE INDEX users_status ON users (status, id) WHERE status <> 'active';

-- +goose Down
SET LOCAL lock_timeout = '2s';
DROP INDEX users_status;
DROP INDEX users_subject;
DROP INDEX orgs_status;
DROP INDEX orgs_name;
DROP INDEX orgs_folded;
ALTER TABLE orgs DROP COLUMN folded;
ALTER TABLE memberships DROP COLUMN folded;
ALTER TABLE users DROP COLUMN home;
DROP FUNCTION find_invitation;
DROP TABLE invitations;

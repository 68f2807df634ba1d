-- +goose Up
CREATE TABLE orgs (
    id         TEXT      NOT NULL PRIMARY KEY,
    issuer     TEXT      NOT NULL,
    name       TEXT      NOT NULL,
    title      TEXT      NOT NULL,
    status     TEXT      NOT NULL,
    version    INTEGER   NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE TABLE users (
    id         TEXT      NOT NULL PRIMARY KEY,
    issuer     TEXT      NOT NULL,
    subject    TEXT      NOT NULL,
    platform   TEXT      NOT NULL,
    status     TEXT      NOT NULL,
    version    INTEGER   NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
) WITHOUT ROWID;
CREATE INDEX users_platform ON users (id) WHERE platform <> '';
CREATE TABLE memberships (
    org_id     TEXT      NOT NULL REFERENCES orgs (id),
    user_id    TEXT      NOT NULL REFERENCES users (id),
    name       TEXT      NOT NULL,
    email      TEXT      NOT NULL,
    role       TEXT      NOT NULL,
    given      BOOLEAN   NOT NULL,
    status     TEXT      NOT NULL,
    version    INTEGER   NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, user_id)
) WITHOUT ROWID;
CREATE TABLE api_keys (
    org_id       TEXT      NOT NULL,
    id           TEXT      NOT NULL,
    user_id      TEXT      NOT NULL,
    name         TEXT      NOT NULL,
    hint         TEXT      NOT NULL,
    hash         TEXT      NOT NULL,
    pepper       TEXT      NOT NULL,
    role         TEXT      NOT NULL,
    models       TEXT      NOT NULL,
    networks     TEXT      NOT NULL,
    expires_at   TIMESTAMP,
    last_used_at TIMESTAMP,
    revoked_at   TIMESTAMP,
    version      INTEGER   NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    updated_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX api_keys_id ON api_keys (id);
CREATE INDEX api_keys_user ON api_keys (org_id, user_id, id);

-- +goose Down
DROP TABLE api_keys;
DROP TABLE memberships;
DROP TABLE users;
DROP TABLE orgs;

-- +goose Up
CREATE TABLE audit_retired (
    last     INTEGER PRIMARY KEY,
    hash     BLOB    NOT NULL,
    recorded INTEGER NOT NULL
);
CREATE TABLE audit_places (
    org_id  TEXT    PRIMARY KEY,
    org_seq INTEGER NOT NULL,
    hash    BLOB    NOT NULL
) WITHOUT ROWID;
DROP TRIGGER audit_not_removed;
-- +goose StatementBegin
CREATE TRIGGER audit_not_removed BEFORE DELETE ON audit WHEN OLD.seq > (SELECT coalesce(max(last), 0) FROM audit_retired)
BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER audit_not_removed;
-- +goose StatementBegin
CREATE TRIGGER audit_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
-- +goose StatementEnd
DROP TABLE audit_places;
DROP TABLE audit_retired;

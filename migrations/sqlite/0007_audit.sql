-- +goose Up
CREATE TABLE audit (
    chain    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    org_id   TEXT,
    org_seq  INTEGER,
    id       TEXT    NOT NULL,
    at_us    INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    target   TEXT    NOT NULL,
    outcome  TEXT    NOT NULL,
    request  TEXT    NOT NULL,
    instance TEXT    NOT NULL,
    canon    BLOB    NOT NULL,
    prev     BLOB    NOT NULL,
    hash     BLOB    NOT NULL,
    PRIMARY KEY (chain, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX audit_org ON audit (org_id, chain, org_seq) WHERE org_id IS NOT NULL;
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE TABLE audit_checkpoints (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    size   INTEGER NOT NULL,
    note   TEXT    NOT NULL
);
CREATE TABLE audit_subjects (
    org_id  TEXT NOT NULL,
    user_id TEXT NOT NULL,
    id      TEXT NOT NULL,
    salt    BLOB NOT NULL,
    PRIMARY KEY (org_id, user_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX audit_subjects_id ON audit_subjects (org_id, id);
CREATE TABLE audit_values (
    org_id     TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    name       TEXT NOT NULL,
    commitment TEXT NOT NULL,
    clear      TEXT NOT NULL,
    PRIMARY KEY (org_id, subject_id, name, commitment)
) WITHOUT ROWID;
-- +goose StatementBegin
CREATE TRIGGER audit_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_checkpoints_not_changed BEFORE UPDATE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_checkpoints_not_removed BEFORE DELETE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_values;
DROP TABLE audit_subjects;
DROP TABLE audit_checkpoints;
DROP TABLE audit;

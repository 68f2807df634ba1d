-- +goose Up
-- What the tokens of a request cost, in millionths of the currency, at the prices of
-- its time.
ALTER TABLE usage ADD COLUMN cost_micro INTEGER NOT NULL DEFAULT 0;

CREATE TABLE budgets (
    org_id      TEXT      NOT NULL,
    id          TEXT      NOT NULL,
    user_id     TEXT,
    key_id      TEXT,
    period      TEXT      NOT NULL,
    limit_micro INTEGER   NOT NULL,
    version     INTEGER   NOT NULL,
    created_at  TIMESTAMP NOT NULL,
    updated_at  TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX budgets_whose ON budgets (org_id, coalesce(user_id, ''), coalesce(key_id, ''), period);
-- What was spent of a budget in each of its periods, but for the charges beside.
CREATE TABLE budget_windows (
    org_id      TEXT      NOT NULL,
    budget_id   TEXT      NOT NULL,
    since       TIMESTAMP NOT NULL,
    spent_micro INTEGER   NOT NULL,
    PRIMARY KEY (org_id, budget_id, since),
    FOREIGN KEY (org_id, budget_id) REFERENCES budgets (org_id, id) ON DELETE CASCADE
) WITHOUT ROWID;
-- What usage has cost and no window has counted yet.
CREATE TABLE budget_charges (
    org_id     TEXT      NOT NULL,
    id         TEXT      NOT NULL,
    user_id    TEXT      NOT NULL,
    key_id     TEXT,
    cost_micro INTEGER   NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
-- What is set aside for requests that run.
CREATE TABLE budget_holds (
    org_id       TEXT      NOT NULL,
    id           TEXT      NOT NULL,
    user_id      TEXT      NOT NULL,
    key_id       TEXT,
    amount_micro INTEGER   NOT NULL,
    expires_at   TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, id)
) WITHOUT ROWID;
CREATE INDEX budget_holds_expire ON budget_holds (expires_at);

-- Every record of usage is charged in the statement that books it.
-- +goose StatementBegin
CREATE TRIGGER charge_budgets AFTER INSERT ON usage WHEN NEW.cost_micro > 0 AND EXISTS (SELECT 1 FROM budgets WHERE org_id = NEW.org_id)
BEGIN
    INSERT INTO budget_charges VALUES (NEW.org_id, NEW.id, NEW.user_id, NEW.key_id, NEW.cost_micro, NEW.created_at);
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER charge_budgets;
DROP TABLE budget_holds;
DROP TABLE budget_charges;
DROP TABLE budget_windows;
DROP TABLE budgets;
ALTER TABLE usage DROP COLUMN cost_micro;

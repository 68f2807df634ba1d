package postgres

import "agentapi/domain/audit"

// seals is how the statement begins that appends to the audit log.
const seals = "SELECT audit_append("

// sealing appends entries to the audit log in one statement: the database chains
// them, so that the head need not be fetched first.
func sealing(entries []audit.Entry) *statement {
	var orgs, heads, tails column
	for _, e := range entries {
		if org := e.Org(); org.IsZero() {
			orgs.null(uuids)
		} else {
			orgs.uuid(org.UUID())
		}
		head, tail := e.Parts()
		put(&heads, texts, head)
		put(&tails, texts, tail)
	}
	return &statement{text: seals + "$1, $2, $3)", args: []column{orgs, heads, tails}, job: none, last: true}
}

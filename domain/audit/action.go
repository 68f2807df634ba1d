package audit

import "slices"

// Action is what happened. The list is closed and published: what is not in it is
// not recorded.
type Action string

// The actions.
const (
	ServerStarted      Action = "server.started"
	ServerStopped      Action = "server.stopped"
	ChatStarted        Action = "chat.started"   // a keyed request has its key; an agent may run now
	ChatCompleted      Action = "chat.completed" // an answer, or how it failed
	AgentStarted       Action = "agent.started"  // a program of an agent's
	AgentExited        Action = "agent.exited"
	SessionCreated     Action = "session.created"
	SessionChanged     Action = "session.changed"
	SessionArchived    Action = "session.archived"
	SessionRestored    Action = "session.restored"
	SessionDeleted     Action = "session.deleted"
	DataExported       Action = "data.exported"
	DataErased         Action = "data.erased"
	ExportAsked        Action = "data.export_requested"
	ErasureAsked       Action = "data.erasure_requested"
	DataExpired        Action = "data.expired"  // by retention
	AuthFailed         Action = "auth.failed"   // the first of a minute, for each reason and known user
	AccessDenied       Action = "access.denied" // a caller lacks a permission: the first of a minute, for each
	OrgRead            Action = "org.read"      // a platform role read what is another organisation's
	KeyCreated         Action = "api_key.created"
	KeyChanged         Action = "api_key.changed"
	KeyRotated         Action = "api_key.rotated"
	KeyRevoked         Action = "api_key.revoked"
	BudgetCreated      Action = "budget.created"
	BudgetChanged      Action = "budget.changed"
	BudgetRemoved      Action = "budget.removed"
	LimitsChanged      Action = "limits.changed"
	MemberAdded        Action = "member.added"
	MemberChanged      Action = "member.changed" // role or status
	MemberRemoved      Action = "member.removed"
	InvitationCreated  Action = "invitation.created"
	InvitationAccepted Action = "invitation.accepted"
	InvitationRevoked  Action = "invitation.revoked"
	OrgCreated         Action = "org.created"
	OrgChanged         Action = "org.changed"
	OrgErasureAsked    Action = "org.erasure_requested"
	OrgErased          Action = "org.erased"
	UserChanged        Action = "user.changed" // suspended everywhere, or let in again
	AdminAppointed     Action = "admin.appointed"
	AdminDismissed     Action = "admin.dismissed"
	AgentChanged       Action = "agent.changed" // taken out of service, or brought back
	AgentDrained       Action = "agent.drained" // it begins nothing more
	AgentResumed       Action = "agent.resumed"
	ServerDegraded     Action = "server.degraded" // what it depends on has gone
	ServerRestored     Action = "server.restored" // and is back
	AgentReset         Action = "agent.reset"     // its breakers are closed and its health forgotten
	AgentTested        Action = "agent.tested"
	ConfigReloaded     Action = "config.reloaded" // on one server, by an administrator or a signal
	RequestEnded       Action = "request.ended"   // of another, by an administrator
	GroupCreated       Action = "group.created"   // by an identity provider, as the next two
	GroupChanged       Action = "group.changed"   // its name, or who is in it
	GroupRemoved       Action = "group.removed"
	LogRetired         Action = "audit.retention" // its oldest entries are in an export now
	AuditExported      Action = "audit.exported"
	AuditVerified      Action = "audit.verified"
)

// Actions lists all actions.
func Actions() []Action { return slices.Clone(actions) }

var actions = []Action{
	ServerStarted, ServerStopped, ServerDegraded, ServerRestored, ChatStarted, ChatCompleted, AgentStarted, AgentExited, SessionCreated, SessionChanged, SessionArchived, SessionRestored,
	SessionDeleted, DataExported, DataErased, ExportAsked, ErasureAsked, DataExpired, AuthFailed, AccessDenied, OrgRead, KeyCreated, KeyChanged, KeyRotated, KeyRevoked,
	BudgetCreated, BudgetChanged, BudgetRemoved, LimitsChanged,
	MemberAdded, MemberChanged, MemberRemoved, InvitationCreated, InvitationAccepted, InvitationRevoked, OrgCreated, OrgChanged, OrgErasureAsked, OrgErased, UserChanged, AdminAppointed, AdminDismissed,
	AgentChanged, AgentDrained, AgentResumed, AgentReset, AgentTested, ConfigReloaded, RequestEnded, GroupCreated, GroupChanged, GroupRemoved, LogRetired, AuditExported, AuditVerified,
}

func (a Action) known() bool { return slices.Contains(actions, a) }

// Outcome is how it ended.
type Outcome string

// The outcomes.
const (
	OK       Outcome = "ok"
	Failed   Outcome = "failed"
	Canceled Outcome = "canceled"
)

func (o Outcome) known() bool { return o == OK || o == Failed || o == Canceled }

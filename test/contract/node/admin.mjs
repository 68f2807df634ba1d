// What administrators do with OpenAI's SDK for Node against a running server, in which
// the organisation has the owner, whose token is OPENAI_ADMIN_KEY, and seven members.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ adminAPIKey: process.env.OPENAI_ADMIN_KEY, apiKey: null, maxRetries: 0 });
const org = client.admin.organization;
const all = async (pages) => { const out = []; for await (const v of pages) out.push(v); return out; };
const near = (seconds, at) => Math.abs(seconds - at) < 60;
const now = Date.now() / 1000;
const [project] = await all(org.projects.list());
const member = (users) => users.find((u) => u.email === "member-1@example.com");

const journeys = {
  async "users are listed, page by page"() {
    const page = await org.users.list({ limit: 3 });
    assert.equal(page.data.length, 3);
    assert.equal(page.hasNextPage(), true);
    const users = await all(org.users.list({ limit: 3 }));
    assert.equal(users.length, 8);
    assert.equal(new Set(users.map((u) => u.id)).size, 8);
    assert.deepEqual([...users.map((u) => u.id)].reverse(), (await all(org.users.list({ limit: 5 }, { query: { limit: 5, order: "desc" } }))).map((u) => u.id));
    for (const u of users) assert.ok(u.object === "organization.user" && u.id.startsWith("user_") && near(u.added_at, now), JSON.stringify(u));
    assert.deepEqual(users.filter((u) => u.role === "owner").map((u) => u.name), ["owner"]);
    const some = await all(org.users.list({ emails: ["MEMBER-1@example.com", "member-2@example.com"] }));
    assert.deepEqual(some.map((u) => u.email).sort(), ["member-1@example.com", "member-2@example.com"]);
  },
  async "a user gets a role, and goes"() {
    const u = member(await all(org.users.list()));
    assert.equal((await org.users.retrieve(u.id)).role, "reader");
    assert.equal((await org.users.update(u.id, { role: "owner" })).role, "owner");
    assert.equal((await org.users.update(u.id, { role: "owner" })).role, "owner");
    assert.equal((await org.users.update(u.id, { role: "reader" })).role, "reader");
    await assert.rejects(org.users.update(u.id, { role: "king" }), (e) => e instanceof OpenAI.BadRequestError && e.param === "role");
    await assert.rejects(org.users.update(u.id, {}), (e) => e instanceof OpenAI.BadRequestError && e.code === "missing_required_parameter");
    assert.deepEqual(await org.users.delete(u.id), { object: "organization.user.deleted", id: u.id, deleted: true });
    await assert.rejects(org.users.retrieve(u.id), (e) => e instanceof OpenAI.NotFoundError && e.code === "member_not_found" && e.requestID.startsWith("req_"));
  },
  async "somebody is invited"() {
    const made = await org.invites.create({ email: "New@example.com", role: "owner", projects: [{ id: project.id, role: "owner" }] });
    assert.equal(made.object, "organization.invite");
    assert.ok(made.status === "pending" && made.role === "owner" && made.accepted_at === null && near(made.created_at, now) && near(made.expires_at, now + 7 * 86400));
    assert.deepEqual(made.projects, [{ id: project.id, role: "owner" }]);
    assert.deepEqual(await org.invites.retrieve(made.id), made);
    await assert.rejects(org.invites.create({ email: "new@EXAMPLE.com", role: "reader" }), (e) => e instanceof OpenAI.ConflictError && e.code === "invitation_exists");
    await assert.rejects(org.invites.create({ email: "x@example.com", role: "reader", projects: [{ id: project.id, role: "owner" }] }), (e) => e instanceof OpenAI.BadRequestError && e.param === "projects");
    await org.invites.create({ email: "other@example.com", role: "reader" });
    assert.deepEqual((await all(org.invites.list({ limit: 1 }))).map((i) => i.email), ["New@example.com", "other@example.com"]);
    assert.deepEqual(await org.invites.delete(made.id), { object: "organization.invite.deleted", id: made.id, deleted: true });
    await assert.rejects(org.invites.retrieve(made.id), OpenAI.NotFoundError);
    await assert.rejects(org.invites.delete(made.id), OpenAI.NotFoundError);
    assert.equal((await all(org.invites.list())).length, 1);
  },
  async "the organisation is its one project"() {
    assert.ok(project.object === "organization.project" && project.id.startsWith("proj_") && project.status === "active" && project.archived_at === null);
    assert.deepEqual(await org.projects.retrieve(project.id), project);
    assert.deepEqual(await all(org.projects.list({ include_archived: true, limit: 1 })), [project]);
    for (const wish of [() => org.projects.create({ name: "x" }), () => org.projects.update(project.id, { name: "x" }), () => org.projects.archive(project.id)]) {
      await assert.rejects(wish, (e) => e instanceof OpenAI.BadRequestError && e.code === "one_project" && /PATCH/.test(e.error.hint));
    }
    await assert.rejects(org.projects.retrieve("proj_none"), (e) => e instanceof OpenAI.NotFoundError && e.code === "project_not_found");
    const users = await all(org.projects.users.list(project.id, { limit: 2 }));
    assert.deepEqual(users.map((u) => u.id), (await all(org.users.list())).map((u) => u.id));
    assert.deepEqual(new Set(users.map((u) => `${u.object} ${u.role}`)), new Set(["organization.project.user owner", "organization.project.user member"]));
  },
  async "a service account and its key"() {
    const made = await org.projects.serviceAccounts.create(project.id, { name: "builds" });
    assert.ok(made.object === "organization.project.service_account" && made.role === "member" && made.name === "builds");
    assert.ok(made.api_key.object === "organization.project.service_account.api_key" && made.api_key.value.startsWith("aak_") && near(made.api_key.created_at, now));
    const bot = new OpenAI({ apiKey: made.api_key.value, maxRetries: 0 });
    assert.equal((await bot.chat.completions.create({ model: "demo/echo", messages: [{ role: "user", content: "hi" }] })).choices[0].message.content, "hi");
    await assert.rejects(org.projects.serviceAccounts.create(project.id, { name: "builds" }), (e) => e instanceof OpenAI.ConflictError && e.code === "service_account_exists");
    const bare = await org.projects.serviceAccounts.create(project.id, { name: "later", create_service_account_only: true });
    assert.equal(bare.api_key, null);
    const { api_key, ...account } = made;
    assert.deepEqual(await org.projects.serviceAccounts.retrieve(made.id, { project_id: project.id }), account);
    assert.deepEqual((await all(org.projects.serviceAccounts.list(project.id, { limit: 1 }))).map((a) => a.name).sort(), ["builds", "later"]);
    await assert.rejects(org.users.retrieve(made.id), OpenAI.NotFoundError); // it is no user

    const keys = await all(org.projects.apiKeys.list(project.id));
    assert.deepEqual(keys.map((k) => k.id), [api_key.id]);
    assert.ok(keys[0].object === "organization.project.api_key" && keys[0].owner.type === "service_account" && keys[0].owner.service_account.id === made.id && keys[0].owner_project_access === "active");
    assert.ok(near(keys[0].last_used_at, now) && api_key.value.endsWith(keys[0].redacted_value.slice(-4)) && !("value" in keys[0]));
    assert.deepEqual(await org.projects.apiKeys.retrieve(api_key.id, { project_id: project.id }), keys[0]);
    await assert.rejects(org.adminAPIKeys.retrieve(api_key.id), OpenAI.NotFoundError); // nor an admin key
    assert.deepEqual(await org.projects.apiKeys.delete(api_key.id, { project_id: project.id }), { object: "organization.project.api_key.deleted", id: api_key.id, deleted: true });
    await assert.rejects(bot.models.list(), OpenAI.AuthenticationError);
    await assert.rejects(org.projects.apiKeys.retrieve(api_key.id, { project_id: project.id }), OpenAI.NotFoundError);
    for (const a of [made, bare]) {
      assert.deepEqual(await org.projects.serviceAccounts.delete(a.id, { project_id: project.id }), { object: "organization.project.service_account.deleted", id: a.id, deleted: true });
    }
    assert.deepEqual(await all(org.projects.serviceAccounts.list(project.id)), []);
  },
  async "an admin key"() {
    const made = await org.adminAPIKeys.create({ name: "ops", expires_in_seconds: 3600 });
    assert.ok(made.object === "organization.admin_api_key" && made.value.startsWith("aak_") && near(made.expires_at, now + 3600) && made.owner.name === "owner" && made.owner.role === "owner");
    const byKey = new OpenAI({ adminAPIKey: made.value, apiKey: null, maxRetries: 0 });
    assert.equal((await byKey.admin.organization.users.list()).data.length, 7);
    const { value, last_used_at, ...rest } = made;
    const got = await org.adminAPIKeys.retrieve(made.id);
    assert.ok(near(got.last_used_at, now) && !("value" in got));
    assert.deepEqual({ ...got, last_used_at: null }, { ...rest, last_used_at: null });
    const second = await byKey.admin.organization.adminAPIKeys.create({ name: "second" });
    assert.equal(second.expires_at, null);
    assert.deepEqual((await all(org.adminAPIKeys.list({ limit: 1, order: "desc" }))).map((k) => k.name), ["second", "ops"]);
    assert.deepEqual(await org.adminAPIKeys.delete(made.id), { object: "organization.admin_api_key.deleted", id: made.id, deleted: true });
    await assert.rejects(byKey.admin.organization.users.list(), (e) => e instanceof OpenAI.AuthenticationError && e.code === "invalid_api_key");
    assert.deepEqual((await all(org.adminAPIKeys.list())).map((k) => k.id), [second.id]);
    await assert.rejects(org.adminAPIKeys.create({ name: "x", expires_in_seconds: 0 }), (e) => e instanceof OpenAI.BadRequestError && e.code === "out_of_range");
  },
  async "whose organisation it is"() {
    const reader = new OpenAI({ adminAPIKey: process.env.READER_KEY, apiKey: null, maxRetries: 0 });
    await assert.rejects(reader.admin.organization.users.list(), (e) => e instanceof OpenAI.PermissionDeniedError && e.code === "insufficient_permissions");
    const as = (key, organization) => new OpenAI({ adminAPIKey: key, apiKey: null, organization, maxRetries: 0 }).admin.organization;
    const { OPENAI_ADMIN_KEY: own, OTHER_KEY: other, PLATFORM_KEY: platform, ORG: id, OTHER_ORG: theirs } = process.env;
    assert.equal((await as(own, id).users.list()).data.length, 7);
    for (const [key, named] of [[own, theirs], [other, id], [own, "acme"], [platform, "org_01kdy7585ee0080000000000ke"]]) {
      await assert.rejects(as(key, named).users.list(), (e) => e instanceof OpenAI.NotFoundError && e.code === "org_not_found", `${key} in ${named}`);
    }
    assert.deepEqual((await as(platform, theirs).users.list()).data.map((u) => u.name), ["eve"]);
    await assert.rejects(as(platform, theirs).projects.retrieve(project.id), OpenAI.NotFoundError);
    await assert.rejects(as(platform, theirs).adminAPIKeys.create({ name: "x" }), OpenAI.BadRequestError);
  },
};
for (const [name, journey] of Object.entries(journeys)) {
  await journey().catch((e) => { console.error(`FAIL ${name}:`, e); process.exitCode = 1; });
  if (!process.exitCode) console.log(`ok ${name}`);
}

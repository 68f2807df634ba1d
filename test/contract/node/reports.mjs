// What administrators read with OpenAI's SDK for Node of a running server, on which two
// users have asked two models, as the test says in REPORT.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ adminAPIKey: process.env.OPENAI_ADMIN_KEY, apiKey: null, maxRetries: 0 });
const org = client.admin.organization;
const want = JSON.parse(process.env.REPORT); // of user, key and model, what their answers said
const all = async (pages) => { const out = []; for await (const v of pages) out.push(v); return out; };
const buckets = async (ask, q) => {
  const out = [];
  for (let page; ;) {
    const got = await ask({ ...q, ...(page && { page }) });
    out.push(...got.data);
    assert.equal(got.has_more, got.next_page !== null);
    if (!(page = got.next_page)) return out;
  }
};
const completions = (q) => buckets((q) => org.usage.completions(q), q);
const since = Math.floor(Date.now() / 1000) - 3600;

const journeys = {
  async "usage adds up to what the answers said"() {
    const found = await completions({ start_time: since, bucket_width: "1h", group_by: ["user_id", "model", "api_key_id"] });
    assert.ok(found.length >= 1 && found.every((b) => b.object === "bucket" && b.end_time - b.start_time === 3600));
    const sums = {};
    for (const r of found.flatMap((b) => b.results)) {
      assert.equal(r.object, "organization.usage.completions.result");
      assert.equal(r.input_uncached_tokens, r.input_tokens - r.input_cached_tokens - r.input_cache_write_tokens);
      const sum = (sums[[r.user_id, r.api_key_id, r.model]] ??= { requests: 0, input: 0, output: 0 });
      sum.requests += r.num_model_requests; sum.input += r.input_tokens; sum.output += r.output_tokens;
    }
    assert.deepEqual(sums, Object.fromEntries(want.map((w) => [[w.user, w.key, w.model], { requests: w.requests, input: w.input, output: w.output }])));
  },
  async "usage is of what it is asked for, and no more is told apart than is asked for"() {
    const { user, model } = want[0];
    const results = (await completions({ start_time: since, user_ids: [user], models: [model] })).flatMap((b) => b.results);
    const mine = want.filter((w) => w.user === user && w.model === model);
    assert.equal(results.reduce((n, r) => n + r.num_model_requests, 0), mine.reduce((n, w) => n + w.requests, 0));
    assert.ok(results.every((r) => r.user_id === null && r.model === null && r.project_id === null));
  },
  async "usage is paged by its buckets"() {
    const page = await org.usage.completions({ start_time: since - 10 * 3600, bucket_width: "1h", limit: 4 });
    assert.equal(page.data.length, 4);
    assert.equal(page.has_more, true);
    const starts = (await completions({ start_time: since - 10 * 3600, bucket_width: "1h", limit: 4 })).map((b) => b.start_time);
    assert.deepEqual(starts, starts.map((_, i) => starts[0] + i * 3600));
    assert.ok(starts.length >= 11 && starts.length <= 12, starts.length);
  },
  async "usage may be asked for from the beginning of time"() {
    const page = await org.usage.completions({ start_time: 0, limit: 2 });
    assert.deepEqual(page.data.map((b) => b.start_time), [0, 86400]);
  },
  async "of what is not served nothing is used"() {
    const none = await buckets((q) => org.usage.embeddings(q), { start_time: since, bucket_width: "1h" });
    assert.ok(none.length >= 1 && none.every((b) => b.results.length === 0));
  },
  async "what makes no sense is refused"() {
    for (const q of [{}, { start_time: since, bucket_width: "1w" }, { start_time: since, bucket_width: "1d", limit: 32 }, { start_time: since, group_by: ["colour"] }, { start_time: since + 1e6 }, { start_time: since, user_ids: ["nobody"] }, { start_time: since, colour: "red" }]) {
      await assert.rejects(completions(q), OpenAI.BadRequestError, JSON.stringify(q));
    }
  },
  async "the audit log is read, the newest first, and tells who did what"() {
    const entries = await all(org.auditLogs.list({ limit: 2, effective_at: { gte: since } }));
    assert.ok(entries.length > 4);
    assert.equal(new Set(entries.map((e) => e.id)).size, entries.length);
    const at = entries.map((e) => e.effective_at);
    assert.deepEqual(at, [...at].sort((a, b) => b - a));
    const [made] = await all(org.auditLogs.list({ event_types: ["api_key.created"] }));
    assert.equal(made.type, "api_key.created");
    assert.equal(made.actor.session.user.id, want.find((w) => w.key !== null).user);
    assert.equal(made["api_key.created"].outcome, "ok");
    const theirs = await all(org.auditLogs.list({ actor_ids: [want[0].user] }));
    assert.ok(theirs.length > 0 && theirs.every((e) => e.actor.session.user.id === want[0].user));
    assert.equal((await all(org.auditLogs.list({ effective_at: { lt: since } }))).length, 0);
  },
  async "others read nothing"() {
    const reader = new OpenAI({ adminAPIKey: process.env.READER_KEY, apiKey: null, maxRetries: 0 });
    await assert.rejects(reader.admin.organization.auditLogs.list(), OpenAI.PermissionDeniedError);
    await assert.rejects(reader.admin.organization.usage.completions({ start_time: since }), OpenAI.PermissionDeniedError);
    const eve = new OpenAI({ adminAPIKey: process.env.OTHER_KEY, apiKey: null, maxRetries: 0 });
    assert.equal((await eve.admin.organization.usage.completions({ start_time: since })).data.flatMap((b) => b.results).length, 0);
    assert.ok((await all(eve.admin.organization.auditLogs.list())).every((e) => e.actor.session.user.id !== want[0].user));
  },
};

for (const [name, journey] of Object.entries(journeys)) {
  await journey().catch((e) => { console.error(`FAIL ${name}:`, e); process.exitCode = 1; });
  if (!process.exitCode) console.log(`ok ${name}`);
}

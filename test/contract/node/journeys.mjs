// The journeys of OpenAI's SDK for Node against a running server.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const user = (content) => [{ role: "user", content }];
const journeys = {
  async "a chat"() {
    const got = await client.chat.completions.create({ model: "demo/echo", messages: user("hello") });
    assert.equal(got.choices[0].message.content, "hello");
    assert.equal(got.choices[0].finish_reason, "stop");
    assert.ok(got.usage.total_tokens > 0);
  },
  async "a stream"() {
    let text = "", usage;
    const stream = await client.chat.completions.create({ model: "demo/echo", stream: true, stream_options: { include_usage: true }, messages: user("hello world") });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, "hello world");
    assert.ok(usage.total_tokens > 0);
  },
  async "the stream helper"() {
    const stream = client.chat.completions.stream({ model: "demo/story", messages: user("tell me") });
    let deltas = "";
    stream.on("content", (delta) => (deltas += delta));
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, deltas);
    assert.equal(final.choices[0].message.role, "assistant");
  },
  async "the tool runner"() {
    let called;
    const runner = client.chat.completions.runTools({
      model: "demo/tools", messages: user("what is the weather in Paris?"),
      tools: [{ type: "function", function: {
        name: "get_weather", parse: JSON.parse, parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
        function: (args) => { called = args; return "fine"; },
      } }],
    });
    assert.ok(await runner.finalContent());
    assert.ok(called);
  },
  async "structured output"() {
    const schema = { type: "object", additionalProperties: false, required: ["name"], properties: { name: { type: "string" } } };
    const got = await client.chat.completions.create({
      model: "demo/json", messages: user("a person"), response_format: { type: "json_schema", json_schema: { name: "person", strict: true, schema } },
    });
    assert.equal(typeof JSON.parse(got.choices[0].message.content).name, "string");
  },
  async "leaving"() {
    const stream = await client.chat.completions.create({ model: "half/m", stream: true, messages: user("x") });
    for await (const _ of stream) { stream.controller.abort(); }
  },
  async "typed errors"() {
    await assert.rejects(client.chat.completions.create({ model: "demo/nope", messages: user("x") }), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found" && e.requestID.startsWith("req_"));
    await assert.rejects(client.chat.completions.create({ model: "demo/echo", messages: [] }), (e) => e instanceof OpenAI.BadRequestError && e.param === "messages");
    await assert.rejects(new OpenAI({ apiKey: "sk-wrong", maxRetries: 0 }).models.list(), (e) => e instanceof OpenAI.AuthenticationError && e.code === "invalid_api_key");
  },
  async "an error in the middle of a stream"() {
    const stream = await client.chat.completions.create({ model: "demo/flaky", stream: true, messages: user("midstream") });
    await assert.rejects(async () => { for await (const _ of stream); }, OpenAI.APIError);
  },
  async "models"() {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes("demo/echo"));
    assert.equal((await client.models.retrieve("demo/echo")).id, "demo/echo");
  },
};
for (const [name, journey] of Object.entries(journeys)) {
  await journey().catch((e) => { console.error(`FAIL ${name}:`, e); process.exitCode = 1; });
  if (!process.exitCode) console.log(`ok ${name}`);
}

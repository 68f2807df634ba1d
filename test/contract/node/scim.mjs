// A library of SCIM's holds the server's answers to be SCIM, finds by each filter
// whom the server finds, and makes of each patch what the server makes of it.
import assert from 'node:assert/strict';
import SCIMMY from 'scimmy';

const { Messages, Schemas, Types } = SCIMMY;
const base = process.env.SCIM_URL, key = process.env.SCIM_KEY;
const schemas = (name) => [`urn:ietf:params:scim:schemas:core:2.0:${name}`];

async function ask(status, method, path, body) {
  const response = await fetch(base + path, {
    method, body: body && JSON.stringify(body),
    headers: { authorization: `Bearer ${key}`, accept: 'application/scim+json', ...(body && { 'content-type': 'application/scim+json' }) },
  });
  const text = await response.text();
  assert.equal(response.status, status, `${method} ${path}: ${text}`);
  return text && JSON.parse(text);
}

// What the library knows as a resource passes its schema; what the schema has not,
// or has otherwise, is thrown out.
const known = { User: (v) => new Schemas.User(v, 'out', '/scim/v2/Users'), Group: (v) => new Schemas.Group(v, 'out', '/scim/v2/Groups') };
function valid(type, v) {
  const read = JSON.parse(JSON.stringify(known[type](structuredClone(v))));
  for (const name of Object.keys(v)) assert.ok(name in read, `${type} has ${name}, which the schema has not`);
  assert.equal(v.meta.resourceType, type);
  return v;
}

// The descriptions.
const config = await ask(200, 'GET', '/ServiceProviderConfig');
new Schemas.ServiceProviderConfig(structuredClone(config), 'out');
assert.equal(config.bulk.supported, false);
const types = await ask(200, 'GET', '/ResourceTypes');
for (const t of types.Resources) new Schemas.ResourceType(structuredClone(t), 'out');
assert.deepEqual(types.Resources.map((t) => t.id), ['User', 'Group']);
function describes(ours, theirs, at) {
  for (const a of ours) {
    const same = theirs.find((b) => b.name === a.name);
    assert.ok(same, `${at}${a.name} is no attribute`);
    for (const k of ['type', 'multiValued']) assert.equal(a[k], same[k] ?? false, `${at}${a.name}: ${k}`);
    if (a.subAttributes) describes(a.subAttributes, same.subAttributes, `${at}${a.name}.`);
  }
}
for (const s of (await ask(200, 'GET', '/Schemas')).Resources) {
  describes(s.attributes, JSON.parse(JSON.stringify(Schemas[s.name].definition.describe())).attributes, `${s.name}.`);
}

// Users, and whom filters find.
const people = [];
for (const [i, name] of ['ann', 'Bob', 'cy the cat', 'dörte', 'eve'].entries()) {
  people.push(valid('User', await ask(201, 'POST', '/Users', {
    schemas: schemas('User'), userName: `${name}@example.com`, externalId: `ext-${i}`, active: i % 2 === 0, displayName: name,
    name: { givenName: name, familyName: 'Example' }, emails: [{ value: `mail-${i}@example.com`, type: 'work', primary: true }],
  })));
}
const quoted = JSON.stringify;
let filters = 0;
for (const p of people) {
  for (const f of [
    `userName eq ${quoted(p.userName)}`, `externalId eq ${quoted(p.externalId)}`, `active eq ${p.active}`, `emails.value eq ${quoted(p.emails[0].value)}`,
    `userName eq ${quoted(p.userName)} and active eq true`, `active eq false and externalId eq ${quoted(p.externalId)}`,
  ]) {
    const list = await ask(200, 'GET', `/Users?filter=${encodeURIComponent(f)}`);
    new Messages.ListResponse(structuredClone(list));
    const want = new Types.Filter(f).match(people).map((u) => u.id).sort();
    assert.deepEqual(list.Resources.map((u) => valid('User', u).id).sort(), want, f);
    filters++;
  }
}

// Patches: the library applies each to what the server had, and has to come to what
// the server has then.
const visible = ({ meta, id, schemas, ...rest }) => JSON.parse(JSON.stringify(rest));
async function patched(type, path, operations) {
  const before = await ask(200, 'GET', path);
  const patch = new Messages.PatchOp({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: structuredClone(operations) });
  const want = await patch.apply(known[type](structuredClone(before)), (v) => JSON.parse(JSON.stringify(v))) ?? before;
  await ask(type === 'User' ? 200 : 204, 'PATCH', path, { schemas: patch.schemas, Operations: operations });
  const got = valid(type, await ask(200, 'GET', path));
  assert.deepEqual(visible(got), visible(want), JSON.stringify(operations));
}
const ann = `/Users/${people[0].id}`;
const patches = [
  [{ op: 'replace', path: 'displayName', value: 'Ann' }],
  [{ op: 'Replace', path: 'name.familyName', value: 'Ünï' }, { op: 'Add', path: 'name.formatted', value: 'Ann Ünï' }],
  [{ op: 'replace', path: 'emails[type eq "work"].value', value: 'ann@example.com' }],
  [{ op: 'replace', path: 'active', value: false }],
  [{ op: 'replace', value: { active: true, displayName: 'Ann again' } }],
  [{ op: 'remove', path: 'displayName' }],
  [{ op: 'remove', path: 'name.formatted' }],
  [{ op: 'add', value: { displayName: 'Ann', name: { formatted: 'A. Ünï' } } }],
  [{ op: 'replace', path: 'userName', value: 'ann.other@example.com' }],
  [{ op: 'remove', path: 'emails' }],
];
for (const p of patches) await patched('User', ann, p);
const g = valid('Group', await ask(201, 'POST', '/Groups', { schemas: schemas('Group'), displayName: 'Everybody', members: [{ value: people[0].id }] }));
const at = `/Groups/${g.id}`, members = (...some) => some.map((p) => ({ value: p.id, $ref: `/scim/v2/Users/${p.id}`, type: 'User' })).sort((a, b) => (a.value < b.value ? -1 : 1));
const bothOf = async (operations, ...some) => {
  await ask(204, 'PATCH', at, { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: operations });
  assert.deepEqual(valid('Group', await ask(200, 'GET', at)).members ?? [], members(...some));
};
await bothOf([{ op: 'add', path: 'members', value: [{ value: people[1].id }, { value: people[2].id }] }], people[0], people[1], people[2]);
await bothOf([{ op: 'remove', path: `members[value eq "${people[1].id}"]` }], people[0], people[2]);
await bothOf([{ op: 'replace', path: 'members', value: [{ value: people[3].id }] }], people[3]);
await bothOf([{ op: 'remove', path: 'members' }]);
await patched('Group', at, [{ op: 'replace', path: 'displayName', value: 'All' }]);

// Refusals.
for (const [status, method, path, body] of [
  [400, 'GET', '/Users?filter=nonsense'], [404, 'GET', '/Users/nobody'],
  [409, 'POST', '/Users', { schemas: schemas('User'), userName: 'EVE@example.com', externalId: 'other' }], [400, 'PATCH', ann, { Operations: [{ op: 'remove' }] }],
]) {
  const said = await ask(status, method, path, body);
  assert.throws(() => new Messages.ErrorResponse(said), (read) => { // which is how it reads one
    assert.deepEqual([read.constructor.name, Number(read.status), read.scimType || undefined, read.message], ['SCIMError', status, said.scimType, said.detail]);
    return true;
  });
}
console.log(`${filters} filters and ${patches.length + 1} patches mean the same to both`);

// A certified provider on loopback, for tests: it says its address on standard
// output and takes new keys on standard input, one JWKS a line. Whoever logs in
// is whom they say they are.
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.argv[2] + '/');
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

let provider;
const server = createServer((request, response) => provider.callback()(request, response));
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

for (;;) {
  const { value, done } = await lines.next();
  if (done) process.exit(0);
  provider = new Provider(issuer, {
    jwks: JSON.parse(value),
    clients: [
      ...['robot', 'owner'].map((name) => ({
        client_id: name, client_secret: `${name}s-secret`, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      })),
      {
        client_id: 'agentapi-cli', token_endpoint_auth_method: 'none', application_type: 'native', redirect_uris: ['http://127.0.0.1/callback'],
        grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'], response_types: ['code'],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://agents.example',
        getResourceServerInfo: () => ({
          scope: 'chat', audience: 'https://agents.example', accessTokenFormat: 'jwt', accessTokenTTL: 300,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: (_context, token) => ({ org_id: 'org_1', role: token.clientId === 'owner' ? 'owner' : 'admin', permissions: ['chat'] }),
    formats: { customizers: { jwt: (_context, token, parts) => { parts.payload.sub ??= token.clientId; } } },
  });
  console.log(`issuer ${issuer}`);
}

// An app on the library openid-client. It keeps its users in memory, and in the file STATE when it is stopped:
//
//   /         who is signed in        /login    sign in           /logout   sign out, also at Rollcall
//   /refresh  a new access token      /me       what userinfo says
//   /told     a notice that a session ended (OpenID Connect Back-Channel Logout 1.0)
//
// Each answer is one line of text, so that a test reads it.
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { BASE, CLIENT_ID, CLIENT_SECRET, ISSUER, PORT, listening, load } from './modules.mjs';

const client = await load('openid-client');
const { createRemoteJWKSet, jwtVerify } = await load('jose');

const config = await client.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET);
const { issuer, jwks_uri } = config.serverMetadata();
const keys = createRemoteJWKSet(new URL(jwks_uri));
const begun = new Map();
const users = new Map(existsSync(process.env.STATE) ? JSON.parse(readFileSync(process.env.STATE, 'utf8')) : []);
const keep = () => writeFileSync(process.env.STATE, JSON.stringify([...users]));
const seen = new Set();

const cookieOf = (request) => /(?:^|; )openid_client=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];

async function login(request, response) {
  const id = randomUUID();
  const verifier = client.randomPKCECodeVerifier();
  const [state, nonce] = [client.randomState(), client.randomNonce()];
  begun.set(id, { verifier, state, nonce });
  const to = client.buildAuthorizationUrl(config, {
    redirect_uri: `${BASE}/cb`,
    scope: 'openid profile email offline_access',
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  });
  response.setHeader('set-cookie', `openid_client=${id}; Path=/; HttpOnly; SameSite=Lax`);
  response.writeHead(302, { location: to.href }).end();
}

async function callback(request, response, url) {
  const { verifier, state, nonce } = begun.get(cookieOf(request)) ?? {};
  const tokens = await client.authorizationCodeGrant(config, url, {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    idTokenExpected: true,
  });
  users.set(cookieOf(request), { tokens, claims: tokens.claims() });
  keep();
  response.writeHead(302, { location: '/' }).end();
}

async function refresh(user) {
  const tokens = await client.refreshTokenGrant(config, user.tokens.refresh_token);
  const isNew = tokens.access_token !== user.tokens.access_token && tokens.refresh_token !== user.tokens.refresh_token;
  user.tokens = { ...user.tokens, ...tokens };
  keep();
  return isNew ? 'refreshed' : 'the same tokens';
}

function logout(request, response, user) {
  users.delete(cookieOf(request));
  keep();
  const to = client.buildEndSessionUrl(config, {
    id_token_hint: user.tokens.id_token,
    post_logout_redirect_uri: `${BASE}/`,
  });
  response.writeHead(302, { location: to.href }).end();
}

// Signs out the users of the session that a notice names.
async function told(request, response) {
  let body = '';
  for await (const part of request) body += part;
  const token = new URLSearchParams(body).get('logout_token') ?? '';
  const { payload } = await jwtVerify(token, keys, { issuer, audience: CLIENT_ID, typ: 'logout+jwt' });
  const event = payload.events?.['http://schemas.openid.net/event/backchannel-logout'];
  if (!event || 'nonce' in payload || !payload.sid || seen.has(payload.jti)) throw new Error('no notice');
  seen.add(payload.jti);
  for (const [id, { claims }] of users) if (claims.sid === payload.sid) users.delete(id);
  keep();
  response.writeHead(200).end();
}

async function answer(request, response) {
  const url = new URL(request.url, BASE);
  if (request.method === 'POST' && url.pathname === '/told') return told(request, response);
  if (url.pathname === '/login') return login(request, response);
  if (url.pathname === '/cb') return callback(request, response, url);
  const user = users.get(cookieOf(request));
  if (!user) return response.end('nobody is signed in');
  if (url.pathname === '/logout') return logout(request, response, user);
  if (url.pathname === '/refresh') return response.end(await refresh(user));
  if (url.pathname === '/me') {
    const told = await client.fetchUserInfo(config, user.tokens.access_token, user.claims.sub);
    return response.end(`userinfo: ${told.preferred_username}`);
  }
  return response.end(`signed in as ${user.claims.preferred_username}`);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    response.writeHead(400).end(`refused: ${error.error ?? error.code ?? error.message}`);
  });
});
listening(server);
server.listen(Number(PORT), '127.0.0.1');

// An app on express-openid-connect, which keeps its users in a sealed cookie:
//
//   /  who is signed in   /login  sign in   /logout  sign out, also at Rollcall   /refresh  a new access token   /me  userinfo
//
// The library itself answers /login, /cb, /logout and /told.
import { BASE, CLIENT_ID, CLIENT_SECRET, ISSUER, PORT, listening, load } from './modules.mjs';

const { default: express } = await load('express');
const { default: openid } = await load('express-openid-connect');

// The sessions that it was told of, in memory.
const ended = new Map();
const store = {
  get: (key, done) => done(null, ended.get(key)),
  set: (key, value, done) => done(null, void ended.set(key, value)),
  destroy: (key, done) => done(null, void ended.delete(key)),
};

const app = express();
app.use(
  openid.auth({
    issuerBaseURL: ISSUER,
    baseURL: BASE,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    secret: 'the secret of the cookie of the app in this test',
    session: { name: 'express_app' },
    authRequired: false,
    idpLogout: true,
    routes: { callback: '/cb', backchannelLogout: '/told', postLogoutRedirect: `${BASE}/` },
    backchannelLogout: { store },
    authorizationParams: {
      response_type: 'code',
      response_mode: 'query',
      scope: 'openid profile email offline_access',
    },
  }),
);
const signedIn = (request, response, next) =>
  request.oidc.isAuthenticated() ? next() : response.type('text').send('nobody is signed in');

app.get('/', signedIn, (request, response) => {
  response.type('text').send(`signed in as ${request.oidc.user.preferred_username}`);
});
app.get('/refresh', signedIn, async (request, response) => {
  const before = request.oidc.accessToken.access_token;
  const { access_token } = await request.oidc.accessToken.refresh();
  response.type('text').send(access_token === before ? 'the same tokens' : 'refreshed');
});
app.get('/me', signedIn, async (request, response) => {
  const told = await request.oidc.fetchUserInfo();
  response.type('text').send(`userinfo: ${told.preferred_username}`);
});
app.use((error, request, response, next) => {
  response.status(400).type('text').send(`refused: ${error.error ?? error.code ?? error.message}`);
});
listening(app.listen(Number(PORT), '127.0.0.1'));

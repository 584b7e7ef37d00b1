// A round trip with npm's @goauthentik/api: URL TOKEN FOLDER-OF-NPM.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, token, npm] = process.argv.slice(2);
const api = createRequire(join(npm, "package.json"))("@goauthentik/api");
const configuration = new api.Configuration({ basePath: `${url}/api/v3`, accessToken: token });
const core = new api.CoreApi(configuration);

async function refused(status, promise) {
  await assert.rejects(promise, (problem) => problem.response?.status === status);
}

const page = await core.coreAuthenticatedSessionsList({ pageSize: 10, ordering: "-last_used" });
assert.equal(page.pagination.count, 62);
assert.equal(page.results.length, 10);
assert.ok(page.results[0].lastUsed instanceof Date);
assert.ok(page.results[0].userAgent.userAgent);
const ofBob = await core.coreAuthenticatedSessionsList({ userUsername: "bob", pageSize: 100 });
assert.ok(ofBob.results.every((session) => session.user === 3));
const one = ofBob.results[0];
assert.equal((await core.coreAuthenticatedSessionsRetrieve({ uuid: one.uuid })).lastIp, one.lastIp);
await core.coreAuthenticatedSessionsDestroy({ uuid: one.uuid });
await refused(404, core.coreAuthenticatedSessionsRetrieve({ uuid: one.uuid }));
const ended = await core.coreAuthenticatedSessionsBulkDeleteDestroy({ userPks: [3] });
assert.equal(ended.deleted, ofBob.results.length - 1);

const zoe = await core.coreUsersCreate({ userRequest: { username: "zoe", name: "Zoë", email: "zoe@example.com" } });
assert.equal((await core.coreUsersRetrieve({ id: zoe.pk })).uuid, zoe.uuid);
await core.coreUsersPartialUpdate({ id: zoe.pk, patchedUserRequest: { name: "Zoë M." } });
assert.equal((await core.coreUsersList({ username: "zoe" })).results[0].name, "Zoë M.");
assert.equal((await core.coreUsersMeRetrieve()).user.username, "akadmin");
await core.coreUsersSetPasswordCreate({
  id: zoe.pk,
  userPasswordSetRequest: { password: "Correct-Horse-77-battery" },
});
const link = await core.coreUsersRecoveryCreate({ id: zoe.pk, userRecoveryLinkRequest: { tokenDuration: "minutes=5" } });
assert.ok(link.link.startsWith("http://127.0.0.1/set-up/"), link.link);

const staff = await core.coreGroupsCreate({ groupRequest: { name: "staff" } });
await core.coreGroupsAddUserCreate({ groupUuid: staff.pk, userAccountRequest: { pk: zoe.pk } });
assert.deepEqual((await core.coreGroupsRetrieve({ groupUuid: staff.pk })).users, [zoe.pk]);
await core.coreGroupsDestroy({ groupUuid: staff.pk });

await core.coreTokensCreate({ tokenRequest: { identifier: "laptop", user: zoe.pk } });
const { key } = await core.coreTokensViewKeyRetrieve({ identifier: "laptop" });
const own = new api.CoreApi(new api.Configuration({ basePath: `${url}/api/v3`, accessToken: key }));
assert.equal((await own.coreUsersMeRetrieve()).user.username, "zoe");
await refused(403, own.coreUsersList({}));

const events = new api.EventsApi(configuration);
const list = await events.eventsEventsList({ pageSize: 50 });
assert.ok(list.pagination.count > 4);
assert.equal((await events.eventsEventsRetrieve({ eventUuid: list.results[0].pk })).action, list.results[0].action);
assert.ok((await new api.AdminApi(configuration).adminVersionRetrieve()).versionCurrent);
assert.ok((await new api.RootApi(configuration).rootConfigRetrieve()).capabilities);
const flows = (await new api.FlowsApi(configuration).flowsInstancesList({})).results.map((flow) => flow.slug);
for (const slug of ["default-authentication-flow", "default-invalidation-flow", "default-provider-invalidation-flow"]) {
  assert.ok(flows.includes(slug), `${slug} is not among ${flows}`);
}
const providers = new api.ProvidersApi(configuration);
const flow = async (slug) => (await new api.FlowsApi(configuration).flowsInstancesRetrieve({ slug })).pk;
const made = await providers.providersOauth2Create({
  oAuth2ProviderRequest: {
    name: "wiki",
    authorizationFlow: await flow("default-provider-authorization-explicit-consent"),
    invalidationFlow: await flow("default-provider-invalidation-flow"),
    redirectUris: [{ matchingMode: "strict", url: "https://wiki.example.com/callback" }],
  },
});
assert.equal(made.clientSecret.length, 43);
const wiki = await core.coreApplicationsCreate({ applicationRequest: { name: "Wiki", slug: "wiki", provider: made.pk } });
assert.equal(wiki.providerObj.pk, made.pk);
const shown = await providers.providersOauth2Retrieve({ id: made.pk });
assert.deepEqual([shown.clientSecret, shown.assignedApplicationSlug, shown.clientId], ["", "wiki", made.clientId]);
assert.ok((await providers.providersOauth2SetupUrlsRetrieve({ id: made.pk })).issuer.endsWith("/application/o/wiki/"));
await core.coreApplicationsDestroy({ slug: "wiki" });
await providers.providersOauth2Destroy({ id: made.pk });
await refused(404, providers.providersOauth2Retrieve({ id: made.pk }));

await core.coreUsersDestroy({ id: zoe.pk });
await refused(404, core.coreUsersRetrieve({ id: zoe.pk }));

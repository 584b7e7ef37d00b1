"""A round trip with PyPI's authentik-client, whose models refuse what the description does not allow: URL TOKEN."""
import secrets
import sys
from datetime import datetime, timezone

import authentik_client as ak
from authentik_client.exceptions import ApiException

url, token = sys.argv[1:]
PASSWORD = "Correct-Horse-77-battery"
configuration = ak.Configuration(host=f"{url}/api/v3", access_token=token)


def refused(status, call, *arguments, **named):
    """The call has to be answered with this status."""
    try:
        call(*arguments, **named)
    except ApiException as answer:
        assert answer.status == status, (call.__name__, answer.status, answer.body)
        return answer.body
    raise AssertionError(f"{call.__name__} was not refused")


def sessions(core):
    page = core.core_authenticated_sessions_list(page_size=25, ordering="-last_used")
    assert page.pagination.count == 62 and len(page.results) == 25, page.pagination
    seen, number = set(), 1
    while True:
        page = core.core_authenticated_sessions_list(page=number, page_size=25)
        seen |= {session.uuid for session in page.results}
        if not page.pagination.next:
            break
        number = int(page.pagination.next)
    assert len(seen) == 62, len(seen)
    first = page.results[0]
    assert core.core_authenticated_sessions_retrieve(uuid=first.uuid).last_ip == first.last_ip
    core.core_authenticated_sessions_used_by_list(uuid=first.uuid)
    of_alice = core.core_authenticated_sessions_list(user__username="alice").results
    assert of_alice and {session.user for session in of_alice} == {2}
    by_address = core.core_authenticated_sessions_list(session__last_ip=first.last_ip).results
    assert by_address and {session.last_ip for session in by_address} == {first.last_ip}
    assert all(session.user_agent.user_agent for session in core.core_authenticated_sessions_list().results)
    core.core_authenticated_sessions_destroy(uuid=of_alice[0].uuid)
    refused(404, core.core_authenticated_sessions_retrieve, uuid=of_alice[0].uuid)
    ended = core.core_authenticated_sessions_bulk_delete_destroy(user_pks=[2])
    assert ended.deleted == len(of_alice) - 1, ended


def users(core):
    zoe = core.core_users_create(ak.UserRequest(
        username="zoe", name="Zoë", email="zoe@example.com", path="users/staff", attributes={"floor": 3}))
    assert zoe.type == "internal" and zoe.path == "users/staff" and zoe.attributes == {"floor": 3}
    assert core.core_users_retrieve(id=zoe.pk).uuid == zoe.uuid
    changed = core.core_users_partial_update(id=zoe.pk, patched_user_request=ak.PatchedUserRequest(name="Zoë M."))
    assert changed.name == "Zoë M." and changed.attributes == {"floor": 3}
    core.core_users_update(id=zoe.pk, user_request=ak.UserRequest(username="zoe", name="Zoë"))
    core.core_users_set_password_create(
        id=zoe.pk, user_password_set_request=ak.UserPasswordSetRequest(password=PASSWORD))
    link = core.core_users_recovery_create(id=zoe.pk, user_recovery_link_request=ak.UserRecoveryLinkRequest(
        token_duration="minutes=5"))
    assert link.link.startswith("http://127.0.0.1/set-up/"), link
    assert "users/staff" in core.core_users_paths_retrieve().paths
    assert core.core_users_list(username="zoe").results[0].pk == zoe.pk
    assert core.core_users_list(search="zo").results and not core.core_users_list(username="nobody").results
    assert core.core_users_list(is_active=False, page_size=100).pagination.count == 1
    assert core.core_users_me_retrieve().user.is_superuser
    core.core_users_used_by_list(id=zoe.pk)
    body = refused(400, core.core_users_create, ak.UserRequest(username="ZOE", name="twice"))
    assert "username" in body, body
    service = core.core_users_service_account_create(ak.UserServiceAccountRequest(name="robot", create_group=True))
    assert service.token and service.group_pk
    return zoe


def groups(core, zoe):
    parent = core.core_groups_create(ak.GroupRequest(name="company"))
    staff = core.core_groups_create(ak.GroupRequest(name="staff", parents=[parent.pk], attributes={"cost": 7}))
    core.core_groups_add_user_create(group_uuid=staff.pk, user_account_request=ak.UserAccountRequest(pk=zoe.pk))
    assert core.core_groups_retrieve(group_uuid=staff.pk).users == [zoe.pk]
    assert core.core_groups_list(name="staff", include_users=True).results[0].users_obj[0].username == "zoe"
    assert [group.name for group in core.core_users_retrieve(id=zoe.pk).groups_obj] == ["staff"]
    assert core.core_users_list(groups_by_name=["staff"]).results[0].pk == zoe.pk
    core.core_groups_remove_user_create(group_uuid=staff.pk, user_account_request=ak.UserAccountRequest(pk=zoe.pk))
    core.core_groups_partial_update(group_uuid=staff.pk, patched_group_request=ak.PatchedGroupRequest(name="team"))
    core.core_groups_used_by_list(group_uuid=staff.pk)
    core.core_groups_destroy(group_uuid=staff.pk)
    refused(404, core.core_groups_retrieve, group_uuid=staff.pk)


def tokens(core, zoe):
    made = core.core_tokens_create(ak.TokenRequest(identifier="laptop", user=zoe.pk, intent="api", expiring=True,
                                                   expires=datetime(2026, 12, 31, tzinfo=timezone.utc)))
    key = core.core_tokens_view_key_retrieve(identifier="laptop").key
    assert made.identifier == "laptop" and len(key) > 30
    mine = ak.Configuration(host=f"{url}/api/v3", access_token=key)
    with ak.ApiClient(mine) as client:
        assert ak.CoreApi(client).core_users_me_retrieve().user.username == "zoe"
        refused(403, ak.CoreApi(client).core_users_list)
    core.core_tokens_set_key_create(identifier="laptop", token_set_key_request=ak.TokenSetKeyRequest(key=secrets.token_urlsafe(40)))
    with ak.ApiClient(mine) as client:
        refused(403, ak.CoreApi(client).core_users_me_retrieve)
    core.core_tokens_used_by_list(identifier="laptop")
    core.core_tokens_destroy(identifier="laptop")
    assert not core.core_tokens_list(identifier="laptop").results


def events(client):
    api = ak.EventsApi(client)
    page = api.events_events_list(page_size=100, ordering="-created")
    assert page.pagination.count > 5
    event = page.results[0]
    assert api.events_events_retrieve(event_uuid=event.pk).action == event.action
    assert api.events_events_list(action="model_created").results
    assert api.events_events_actions_list() and api.events_events_volume_list() is not None
    api.events_events_top_per_user_list(top_n=5)
    api.events_events_stats_retrieve(count_steps=["days=1"])


def instance(client):
    assert ak.RootApi(client).root_config_retrieve().capabilities is not None
    assert ak.AdminApi(client).admin_version_retrieve().version_current.startswith("2026.")
    assert ak.AdminApi(client).admin_system_retrieve().runtime is not None
    flows = ak.FlowsApi(client)
    assert flows.flows_instances_list(slug="default-authentication-flow").results
    assert ak.AuthenticatorsApi(client).authenticators_admin_all_list(user=2) == []
    assert ak.StagesApi(client).stages_user_login_list().results
    assert ak.CoreApi(client).core_brands_current_retrieve().branding_title
    assert ak.ProvidersApi(client).providers_all_list().pagination is not None
    assert ak.CoreApi(client).core_applications_list().pagination is not None


def apps(client):
    """An app that signs its users in, as automation makes it: scopes and flows are looked up, then named."""
    core, providers, flows = ak.CoreApi(client), ak.ProvidersApi(client), ak.FlowsApi(client)
    flow = {slug: flows.flows_instances_retrieve(slug=f"default-provider-{slug}").pk
            for slug in ["authorization-implicit-consent", "invalidation-flow"]}
    managed = [f"goauthentik.io/providers/oauth2/scope-{scope}" for scope in ["openid", "email", "profile"]]
    mappings = ak.PropertymappingsApi(client).propertymappings_provider_scope_list(managed=managed).results
    assert {mapping.scope_name for mapping in mappings} == {"openid", "email", "profile"}, mappings
    assert ak.PropertymappingsApi(client).propertymappings_all_list().results
    pair = ak.CryptoApi(client).crypto_certificatekeypairs_list(has_key=True).results[0]
    wanted = ak.OAuth2ProviderRequest(
        name="wiki", authorization_flow=flow["authorization-implicit-consent"], invalidation_flow=flow["invalidation-flow"],
        property_mappings=[mapping.pk for mapping in mappings], signing_key=pair.pk, client_type="confidential",
        redirect_uris=[ak.RedirectURIRequest(matching_mode="strict", url="https://wiki.example.com/callback")],
        access_token_validity="minutes=10")
    made = providers.providers_oauth2_create(o_auth2_provider_request=wanted)
    assert len(made.client_id) == 40 and len(made.client_secret) == 43, made
    application = core.core_applications_create(application_request=ak.ApplicationRequest(name="Wiki", slug="wiki", provider=made.pk))
    assert application.provider_obj.pk == made.pk
    shown = providers.providers_oauth2_retrieve(id=made.pk)
    assert (shown.client_secret, shown.assigned_application_slug, shown.access_token_validity) == ("", "wiki", "minutes=10"), shown
    assert providers.providers_oauth2_setup_urls_retrieve(id=made.pk).issuer.endswith("/application/o/wiki/")
    changed = providers.providers_oauth2_partial_update(
        id=made.pk, patched_o_auth2_provider_request=ak.PatchedOAuth2ProviderRequest(client_type="public"))
    assert changed.client_type == "public"
    assert providers.providers_oauth2_list(client_id=made.client_id).results[0].pk == made.pk
    wanted.issuer_mode = "global"
    assert "issuer_mode" in refused(400, providers.providers_oauth2_create, o_auth2_provider_request=wanted)
    assert ak.Oauth2Api(client).oauth2_access_tokens_list().results == []
    assert ak.Oauth2Api(client).oauth2_refresh_tokens_list(provider=made.pk).results == []
    assert core.core_user_consent_list().results == []
    core.core_applications_destroy(slug="wiki")
    assert providers.providers_oauth2_used_by_list(id=made.pk) == []
    providers.providers_oauth2_destroy(id=made.pk)
    refused(404, providers.providers_oauth2_retrieve, id=made.pk)


with ak.ApiClient(configuration) as client:
    core = ak.CoreApi(client)
    sessions(core)
    zoe = users(core)
    groups(core, zoe)
    tokens(core, zoe)
    events(client)
    instance(client)
    apps(client)
    core.core_users_destroy(id=zoe.pk)
    refused(404, core.core_users_retrieve, id=zoe.pk)

//! Every address, on one screen.

use axum::routing::{MethodRouter, any, get, post};
use axum::{Extension, Router};

use crate::actions::app::App;
use crate::api::core::authenticated_sessions::table::SESSIONS;
use crate::api::core::authenticated_sessions::{bulk_delete, details, revoke};
use crate::api::core::{
    app_sessions, applications, authenticated_sessions, brands, ended_sessions, groups, logout_notices, tokens,
};
use crate::api::core::{user_consent, users};
use crate::api::empty::EMPTY_LISTS;
use crate::api::{admin, authenticators, crypto, events, flows, health, outposts, policies};
use crate::api::{oauth2, propertymappings, providers, root, schema, stages};
use crate::guard;
use crate::oidc;
use crate::ui;
use crate::ui::fleet::offers::ApiNames;

/// What the page of all sessions calls the API's filters in the line for curl.
const API_NAMES: ApiNames = ApiNames(|about| SESSIONS.name_of(about));

/// All addresses, and what answers them.
#[derive(Default)]
pub struct Routes {
    /// The addresses, as they are written here.
    pub paths: Vec<&'static str>,
    /// The addresses with their handlers.
    pub router: Router<App>,
}

impl Routes {
    fn route(mut self, path: &'static str, answer: MethodRouter<App>) -> Self {
        self.paths.push(path);
        self.router = self.router.route(path, answer);
        self
    }

    /// Reverse proxies ask here, in Rollcall's words and in authentik's; and the guarded hosts' own addresses.
    fn route_guard(self) -> Self {
        self.route("/guard/nginx/{app}", any(guard::check::nginx))
            .route("/guard/caddy/{app}", any(guard::check::caddy))
            .route("/guard/traefik/{app}", any(guard::check::traefik))
            .route("/guard/envoy/{app}/", any(guard::check::envoy))
            .route("/guard/envoy/{app}/{*path}", any(guard::check::envoy))
            .route("/guard/go", get(guard::go::go))
            .route("/outpost.goauthentik.io/auth/nginx", any(guard::check::authentik_nginx))
            .route("/outpost.goauthentik.io/auth/caddy", any(guard::check::authentik_caddy))
            .route("/outpost.goauthentik.io/auth/traefik", any(guard::check::authentik_traefik))
            .route("/outpost.goauthentik.io/auth/envoy/", any(guard::check::authentik_envoy))
            .route("/outpost.goauthentik.io/auth/envoy/{*path}", any(guard::check::authentik_envoy))
            .route("/.rollcall/{page}", any(guard::places::show))
            .route("/outpost.goauthentik.io/{page}", any(guard::places::show))
    }

    /// OpenID Connect, at authentik's addresses. Those that apps' servers call are there without the last slash, too.
    fn route_oidc(self) -> Self {
        self.route("/application/o/{slug}/", get(oidc::discovery::lead))
            .route("/application/o/{slug}/.well-known/openid-configuration", get(oidc::discovery::show))
            // An app that adds the path to an issuer with its last slash.
            .route("/application/o/{slug}//.well-known/openid-configuration", get(oidc::discovery::show))
            .route("/.well-known/oauth-authorization-server/application/o/{slug}", get(oidc::discovery::show))
            .route("/.well-known/oauth-authorization-server/application/o/{slug}/", get(oidc::discovery::show))
            .route("/application/o/{slug}/jwks/", get(oidc::jwks::show))
            .route("/application/o/{slug}/end-session/", any(oidc::end_session::answer))
            .route("/application/o/authorize/", any(oidc::authorize::answer))
            .route("/application/o/token/", any(oidc::token::answer))
            .route("/application/o/token", any(oidc::token::answer))
            .route("/application/o/device/", any(oidc::device::answer))
            .route("/application/o/device", any(oidc::device::answer))
            .route("/application/o/userinfo/", any(oidc::inquiries::userinfo))
            .route("/application/o/introspect/", any(oidc::inquiries::introspect))
            .route("/application/o/introspect", any(oidc::inquiries::introspect))
            .route("/application/o/revoke/", any(oidc::inquiries::revoke))
            .route("/application/o/revoke", any(oidc::inquiries::revoke))
    }

    fn route_empty_lists(self) -> Self {
        EMPTY_LISTS.iter().fold(self, |routes, list| routes.route(list.path, list.address()))
    }
}

/// Every address there is.
#[must_use]
#[expect(clippy::too_many_lines, reason = "it is one list")]
pub fn routes() -> Routes {
    Routes::default()
        // authentik's API. Each of these answers all methods itself.
        .route("/api/v3/core/authenticated_sessions/", authenticated_sessions::collection())
        .route("/api/v3/core/authenticated_sessions/bulk_delete/", bulk_delete::address())
        .route("/api/v3/core/authenticated_sessions/revoke/", revoke::address())
        .route("/api/v3/core/authenticated_sessions/{uuid}/", authenticated_sessions::item())
        .route("/api/v3/core/authenticated_sessions/{uuid}/used_by/", authenticated_sessions::item_used_by())
        .route("/api/v3/core/authenticated_sessions/{uuid}/details/", details::address())
        .route("/api/v3/core/ended_sessions/", ended_sessions::collection())
        .route("/api/v3/core/users/", users::collection())
        .route("/api/v3/core/users/me/", users::me::address())
        .route("/api/v3/core/users/paths/", users::paths())
        .route("/api/v3/core/users/service_account/", users::service_account::address())
        .route("/api/v3/core/users/{id}/", users::item())
        .route("/api/v3/core/users/{id}/set_password/", users::password::address())
        .route("/api/v3/core/users/{id}/set_password_hash/", users::password::hash_address())
        .route("/api/v3/core/users/{id}/recovery/", users::recovery::address())
        .route("/api/v3/core/users/{id}/used_by/", users::item_used_by())
        .route("/api/v3/core/groups/", groups::collection())
        .route("/api/v3/core/groups/{group_uuid}/", groups::item())
        .route("/api/v3/core/groups/{group_uuid}/add_user/", groups::item_add_user())
        .route("/api/v3/core/groups/{group_uuid}/remove_user/", groups::item_remove_user())
        .route("/api/v3/core/groups/{group_uuid}/used_by/", groups::item_used_by())
        .route("/api/v3/core/tokens/", tokens::collection())
        .route("/api/v3/core/tokens/{identifier}/", tokens::item())
        .route("/api/v3/core/tokens/{identifier}/view_key/", tokens::item_view_key())
        .route("/api/v3/core/tokens/{identifier}/set_key/", tokens::item_set_key())
        .route("/api/v3/core/tokens/{identifier}/used_by/", tokens::item_used_by())
        .route("/api/v3/core/applications/", applications::collection())
        .route("/api/v3/core/applications/{slug}/", applications::item())
        .route("/api/v3/core/applications/{slug}/check_access/", applications::item_check_access())
        .route("/api/v3/core/applications/{slug}/used_by/", applications::item_used_by())
        .route("/api/v3/core/app_sessions/", app_sessions::collection())
        .route("/api/v3/core/app_sessions/{uuid}/", app_sessions::item())
        .route("/api/v3/core/logout_notices/", logout_notices::collection())
        .route("/api/v3/core/logout_notices/{uuid}/send/", logout_notices::item_send())
        .route("/api/v3/core/logout_notices/{uuid}/drop/", logout_notices::item_drop())
        .route("/api/v3/core/user_consent/", user_consent::collection())
        .route("/api/v3/core/user_consent/{id}/", user_consent::item())
        .route("/api/v3/oauth2/access_tokens/", oauth2::access_tokens::collection())
        .route("/api/v3/oauth2/access_tokens/{id}/", oauth2::access_tokens::item())
        .route("/api/v3/oauth2/access_tokens/{id}/used_by/", oauth2::access_tokens::item_used_by())
        .route("/api/v3/oauth2/refresh_tokens/", oauth2::refresh_tokens::collection())
        .route("/api/v3/oauth2/refresh_tokens/{id}/", oauth2::refresh_tokens::item())
        .route("/api/v3/oauth2/refresh_tokens/{id}/used_by/", oauth2::refresh_tokens::item_used_by())
        .route("/api/v3/policies/bindings/", policies::bindings::collection())
        .route("/api/v3/policies/bindings/{policy_binding_uuid}/", policies::bindings::item())
        .route("/api/v3/providers/all/", providers::all::collection())
        .route("/api/v3/providers/all/{id}/", providers::all::item())
        .route("/api/v3/providers/proxy/", providers::proxy::collection())
        .route("/api/v3/providers/proxy/{id}/", providers::proxy::item())
        .route("/api/v3/providers/proxy/{id}/used_by/", providers::proxy::item_used_by())
        .route("/api/v3/providers/oauth2/", providers::oauth2::collection())
        .route("/api/v3/providers/oauth2/{id}/", providers::oauth2::item())
        .route("/api/v3/providers/oauth2/{id}/setup_urls/", providers::oauth2::item_setup_urls())
        .route("/api/v3/providers/oauth2/{id}/used_by/", providers::oauth2::item_used_by())
        .route("/api/v3/propertymappings/all/", propertymappings::collection())
        .route("/api/v3/propertymappings/all/{pm_uuid}/", propertymappings::item())
        .route("/api/v3/propertymappings/provider/scope/", propertymappings::scope_collection())
        .route("/api/v3/propertymappings/provider/scope/{pm_uuid}/", propertymappings::scope_item())
        .route("/api/v3/propertymappings/provider/scope/{pm_uuid}/used_by/", propertymappings::scope_item_used_by())
        .route("/api/v3/crypto/certificatekeypairs/", crypto::collection())
        .route("/api/v3/crypto/certificatekeypairs/{kp_uuid}/", crypto::item())
        .route("/api/v3/crypto/certificatekeypairs/{kp_uuid}/used_by/", crypto::item_used_by())
        .route("/api/v3/outposts/instances/", outposts::instances::collection())
        .route("/api/v3/outposts/instances/{uuid}/", outposts::instances::item())
        .route("/api/v3/core/brands/current/", brands::current())
        .route("/api/v3/root/config/", root::config::address())
        .route("/api/v3/admin/version/", admin::version::address())
        .route("/api/v3/admin/system/", admin::system::address())
        .route("/api/v3/authenticators/all/", authenticators::own())
        .route("/api/v3/authenticators/admin/all/", authenticators::everybodys())
        .route("/api/v3/flows/instances/", flows::instances::collection())
        .route("/api/v3/flows/instances/{slug}/", flows::instances::item())
        .route("/api/v3/events/events/", events::collection())
        .route("/api/v3/events/events/actions/", events::actions_address())
        .route("/api/v3/events/events/volume/", events::statistics::volume_address())
        .route("/api/v3/events/events/top_per_user/", events::statistics::top_address())
        .route("/api/v3/events/events/stats/", events::statistics::stats_address())
        .route("/api/v3/events/events/{event_uuid}/", events::item())
        .route("/api/v3/stages/user_login/", stages::user_login::collection())
        .route("/api/v3/stages/user_login/{stage_uuid}/", stages::user_login::item())
        .route_empty_lists()
        .route("/api/v3/flows/executor/{flow_slug}/", any(flows::executor::executor))
        .route("/api/v3/schema/", get(schema::schema))
        .route("/api/v3/", get(schema::browser))
        .route("/api/v3/browser/{file}", get(schema::browser_file))
        // Pages.
        .route("/", get(ui::home))
        .route("/sign-in", get(ui::sign_in::show).post(ui::sign_in::submit))
        .route("/sign-in/factor", post(ui::sign_in::factor::submit))
        .route("/sign-in/passkey", post(ui::sign_in::passkeys::sign_in))
        .route("/sign-in/choose", post(ui::sign_in::choose::submit))
        .route("/confirm", get(ui::sign_in::confirm::show).post(ui::sign_in::confirm::submit))
        .route("/confirm/passkey", post(ui::sign_in::confirm::submit_passkey))
        .route("/password", get(ui::account::password::show).post(ui::account::password::submit))
        .route("/.well-known/change-password", get(ui::account::password::lead))
        .route("/account", get(ui::account::profile::show).post(ui::account::profile::submit))
        .route("/account/activity", get(ui::account::activity::show))
        .route("/account/data", get(ui::account::data::show))
        .route("/account/remove", get(ui::account::removal::ask).post(ui::account::removal::submit))
        .route("/account/keep", post(ui::account::removal::keep))
        .route("/my-data", get(ui::account::my_data::download))
        .route("/security", get(ui::account::security::show))
        .route("/security/totp", post(ui::account::security::begin_totp))
        .route("/security/totp/{id}", get(ui::account::security::show_totp).post(ui::account::security::confirm_totp))
        .route("/security/passkeys", post(ui::account::security::add_passkey))
        .route("/security/codes", get(ui::account::security::ask_renew_codes).post(ui::account::security::renew_codes))
        .route("/security/factors/{id}/name", post(ui::account::security::rename))
        .route("/security/factors/{id}/remove", get(ui::account::security::ask_remove).post(ui::account::security::remove))
        .route("/consent", get(ui::sign_in::consent::show).post(ui::sign_in::consent::submit))
        .route("/device", get(ui::sign_in::device::show).post(ui::sign_in::device::submit))
        .route("/sign-out", get(ui::sign_in::sign_out::show).post(ui::sign_in::sign_out::submit))
        .route("/sessions", get(ui::account::devices::show))
        .route("/sessions/end-others", get(ui::account::devices::ask_end_others).post(ui::account::devices::end_others))
        .route("/sessions/not-me", get(ui::account::devices::not_me))
        .route("/sessions/all", get(ui::fleet::show).layer(Extension(API_NAMES)))
        .route("/sessions/all/live", get(ui::fleet::live::stream))
        .route("/sessions/all/counts", get(ui::fleet::counts))
        .route("/sessions/all/export", get(ui::fleet::export::download))
        .route("/sessions/all/end", get(ui::fleet::end::preview).post(ui::fleet::end::submit))
        .route("/sessions/all/ended/{name}", get(ui::fleet::end::result))
        .route("/sessions/{uuid}", get(ui::fleet::session::show))
        .route("/sessions/{uuid}/apps/{opened}/end", post(ui::fleet::session::end_app))
        .route("/sessions/{uuid}/end", post(ui::account::devices::end))
        .route("/sessions/{uuid}/name", post(ui::account::devices::rename))
        .route("/watch/sessions/{uuid}/end", get(ui::watch::end::ask).post(ui::watch::end::submit))
        .route("/watch", get(ui::watch::status::show))
        .route("/watch/ends/{name}", get(ui::watch::many::show))
        .route("/watch/ends/{name}/stop", post(ui::watch::many::stop))
        .route("/map", get(ui::fleet::map::show))
        .route("/users", get(ui::admin::users::show).post(ui::admin::users::add))
        .route("/users/new", get(ui::admin::users::show_form))
        .route("/users/import", ui::admin::user_import::address())
        .route("/users/{id}", get(ui::admin::user::show))
        .route("/users/{id}/password", post(ui::admin::user::set_password))
        .route("/users/{id}/recovery", post(ui::admin::user::make_link))
        .route("/users/{id}/active", get(ui::admin::user::ask_deactivate).post(ui::admin::user::set_active))
        .route("/users/{id}/remove-factors", get(ui::admin::user::ask_remove_factors).post(ui::admin::user::remove_factors))
        .route("/apps", get(ui::applications::mine::show))
        .route("/apps/withdraw", post(ui::applications::mine::withdraw))
        .route("/apps/passwords", get(ui::applications::passwords::show).post(ui::applications::passwords::add))
        .route("/apps/passwords/new", get(ui::applications::passwords::show_form))
        .route("/apps/passwords/remove", get(ui::applications::passwords::ask_remove).post(ui::applications::passwords::remove))
        .route("/applications", get(ui::applications::show).post(ui::applications::add))
        .route("/applications/new", get(ui::applications::show_form))
        .route("/applications/{slug}", get(ui::applications::one::show))
        .route("/applications/{slug}/access", post(ui::applications::one::set_access))
        .route("/applications/{slug}/edit", get(ui::applications::edit::show).post(ui::applications::edit::submit))
        .route("/applications/{slug}/remove", get(ui::applications::edit::ask_remove).post(ui::applications::edit::remove))
        .route("/applications/{slug}/guard", get(ui::applications::guard::show).post(ui::applications::guard::submit))
        .route("/applications/{slug}/guard/remove", get(ui::applications::guard::ask_remove).post(ui::applications::guard::remove))
        .route("/applications/{slug}/client", get(ui::applications::client::show).post(ui::applications::client::submit))
        .route("/applications/{slug}/client/secret", post(ui::applications::client::add_secret))
        .route(
            "/applications/{slug}/client/remove",
            get(ui::applications::client::ask_remove).post(ui::applications::client::remove),
        )
        .route("/applications/{slug}/client/notices", get(ui::applications::notices::show))
        .route("/applications/{slug}/client/notices/test", post(ui::applications::notices::test))
        .route("/applications/{slug}/client/notices/send", post(ui::applications::notices::send))
        .route(
            "/applications/{slug}/client/notices/drop",
            get(ui::applications::notices::ask_drop).post(ui::applications::notices::drop_them),
        )
        .route("/applications/{slug}/config", get(ui::applications::guard::config))
        .route("/applications/{slug}/rules", post(ui::applications::rules::add))
        .route("/applications/{slug}/rules/new", get(ui::applications::rules::show_new))
        .route("/applications/{slug}/rules/{number}", get(ui::applications::rules::show).post(ui::applications::rules::set))
        .route("/applications/{slug}/rules/{number}/move", post(ui::applications::rules::move_to))
        .route(
            "/applications/{slug}/rules/{number}/remove",
            get(ui::applications::rules::ask_remove).post(ui::applications::rules::remove),
        )
        .route("/applications/{slug}/sessions/{opened}/end", post(ui::applications::one::end))
        .route("/users/{id}/edit", get(ui::admin::user_edit::show).post(ui::admin::user_edit::submit))
        .route("/users/{id}/remove", get(ui::admin::user_edit::ask_remove).post(ui::admin::user_edit::remove))
        .route("/users/{id}/erase", get(ui::admin::user_erase::ask).post(ui::admin::user_erase::submit))
        .route("/users/{id}/keep", post(ui::admin::user_erase::decline))
        .route("/groups", get(ui::admin::groups::show).post(ui::admin::groups::add))
        .route("/groups/new", get(ui::admin::groups::show_form))
        .route("/groups/{group_uuid}", get(ui::admin::group::show))
        .route("/groups/{group_uuid}/members", post(ui::admin::group::set_member))
        .route("/groups/{group_uuid}/edit", get(ui::admin::group_edit::show).post(ui::admin::group_edit::submit))
        .route("/groups/{group_uuid}/remove", get(ui::admin::group_edit::ask_remove).post(ui::admin::group_edit::remove))
        .route("/users/{id}/policy", get(ui::admin::policy::show_user).post(ui::admin::policy::set_user))
        .route("/groups/{group_uuid}/policy", get(ui::admin::policy::show_group).post(ui::admin::policy::set_group))
        .route("/settings/policy", get(ui::admin::policy::show_instance).post(ui::admin::policy::set_instance))
        .route("/tokens", get(ui::admin::tokens::show).post(ui::admin::tokens::add))
        .route("/tokens/new", get(ui::admin::tokens::show_form))
        .route("/tokens/rotate", get(ui::admin::tokens::ask_rotate).post(ui::admin::tokens::rotate))
        .route("/tokens/remove", get(ui::admin::tokens::ask_remove).post(ui::admin::tokens::remove))
        .route("/events", get(ui::admin::events::show))
        .route("/events/live", get(ui::admin::events::live::stream))
        .route("/events/export", get(ui::admin::events::export))
        .route("/settings", get(ui::admin::settings::show))
        .route("/set-up/{key}", get(ui::sign_in::set_up::show).post(ui::sign_in::set_up::submit))
        .route("/static/{file}", get(ui::assets::serve))
        .route_oidc()
        .route_guard()
        // For machines.
        .route("/-/health/live/", get(health::live))
        .route("/-/health/ready/", get(health::ready))
}

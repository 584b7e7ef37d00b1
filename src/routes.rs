//! Every address, on one screen.

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};

use crate::api::core::{authenticated_sessions, ended_sessions, session_details, session_revoke, user_recovery};
use crate::api::error::ApiError;
use crate::api::{flows, health, schema};
use crate::app::App;
use crate::{http, ui};

/// All addresses, and what answers them.
#[derive(Default)]
pub struct Routes {
    /// The addresses, as they are written here.
    pub paths: Vec<&'static str>,
    router: Router<App>,
}

impl Routes {
    fn route(mut self, path: &'static str, answer: MethodRouter<App>) -> Self {
        self.paths.push(path);
        self.router = self.router.route(path, answer);
        self
    }
}

/// Every address there is.
#[must_use]
pub fn routes() -> Routes {
    Routes::default()
        // authentik's API. Each of these answers all methods itself.
        .route("/api/v3/core/authenticated_sessions/", any(authenticated_sessions::collection))
        .route("/api/v3/core/authenticated_sessions/bulk_delete/", any(authenticated_sessions::bulk))
        .route("/api/v3/core/authenticated_sessions/revoke/", any(session_revoke::address))
        .route("/api/v3/core/authenticated_sessions/{uuid}/", any(authenticated_sessions::item))
        .route("/api/v3/core/authenticated_sessions/{uuid}/used_by/", any(authenticated_sessions::item_used_by))
        .route("/api/v3/core/authenticated_sessions/{uuid}/details/", any(session_details::address))
        .route("/api/v3/core/ended_sessions/", any(ended_sessions::collection))
        .route("/api/v3/core/users/{id}/recovery/", any(user_recovery::address))
        .route("/api/v3/flows/executor/{slug}/", any(flows::executor::executor))
        .route("/api/v3/schema/", get(schema::schema))
        .route("/api/v3/", get(schema::browser))
        .route("/api/v3/browser/{file}", get(schema::browser_file))
        // Pages.
        .route("/", get(ui::home))
        .route("/sign-in", get(ui::sign_in::show).post(ui::sign_in::submit))
        .route("/sign-in/factor", post(ui::sign_in_factor::submit))
        .route("/sign-in/passkey", post(ui::passkeys::sign_in))
        .route("/sign-in/choose", post(ui::sign_in_limit::submit))
        .route("/confirm", get(ui::confirm::show).post(ui::confirm::submit))
        .route("/confirm/passkey", post(ui::passkeys::confirm))
        .route("/password", get(ui::password::show).post(ui::password::submit))
        .route("/my-data", get(ui::my_data::download))
        .route("/security", get(ui::security::show))
        .route("/security/totp", post(ui::security::begin_totp))
        .route("/security/totp/{id}", get(ui::security::show_totp).post(ui::security::confirm_totp))
        .route("/security/passkeys", post(ui::passkeys::add))
        .route("/security/codes", post(ui::security::renew_codes))
        .route("/security/factors/{id}/name", post(ui::security::rename))
        .route("/security/factors/{id}/remove", post(ui::security::remove))
        .route("/sign-out", get(ui::sign_out::show).post(ui::sign_out::submit))
        .route("/sessions", get(ui::devices::show))
        .route("/sessions/end-others", post(ui::devices::end_others))
        .route("/sessions/not-me", get(ui::devices::not_me))
        .route("/sessions/all", get(ui::sessions::show))
        .route("/sessions/all/live", get(ui::sessions::live::stream))
        .route("/sessions/all/counts", get(ui::sessions::counts))
        .route("/sessions/all/export", get(ui::sessions::export::download))
        .route("/sessions/all/end", get(ui::sessions::end::preview).post(ui::sessions::end::submit))
        .route("/sessions/all/ended/{name}", get(ui::sessions::end::result))
        .route("/sessions/{uuid}", get(ui::session::show))
        .route("/sessions/{uuid}/end", post(ui::devices::end))
        .route("/sessions/{uuid}/name", post(ui::devices::rename))
        .route("/map", get(ui::map::show))
        .route("/users", get(ui::users::show).post(ui::users::add))
        .route("/users/{id}", get(ui::user::show))
        .route("/users/{id}/password", post(ui::user::set_password))
        .route("/users/{id}/recovery", post(ui::user::make_link))
        .route("/users/{id}/active", post(ui::user::set_active))
        .route("/users/{id}/remove-factors", post(ui::user::remove_factors))
        .route("/tokens", get(ui::tokens::show).post(ui::tokens::add))
        .route("/tokens/remove", post(ui::tokens::remove))
        .route("/events", get(ui::events::show))
        .route("/settings", get(ui::settings::show))
        .route("/set-up/{key}", get(ui::set_up::show).post(ui::set_up::submit))
        .route("/static/{file}", get(ui::assets::serve))
        // For machines.
        .route("/-/health/live/", get(health::live))
        .route("/-/health/ready/", get(health::ready))
}

/// The whole server.
pub fn router(app: &App) -> Router {
    let router = routes().router.fallback(unknown).method_not_allowed_fallback(method_not_allowed);
    http::layers(router, app).with_state(app.clone())
}

/// No such address: said in the form its caller reads.
async fn unknown(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return ApiError::NotFound.into_response();
    }
    ui::error::PageError::NotFound.into_response()
}

/// No such method here; the router adds the allowed ones.
async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return ApiError::MethodNotAllowed(method.to_string()).into_response();
    }
    ui::error::PageError::MethodNotAllowed.into_response()
}

//! `/api/v3/admin/version/`: authentik's version that this server answers as, and Rollcall's own.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::api::admin::AUTHENTIK_VERSION;
use crate::api::endpoint::{Answer, Call, Endpoint, ok};

/// Which version this is.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the names are authentik's")]
pub struct Version {
    /// The version of authentik whose API this is: clients parse it.
    version_current: &'static str,
    /// The same: this server looks for no newer version.
    version_latest: &'static str,
    /// Whether `version_latest` was looked up: never.
    version_latest_valid: bool,
    /// Rollcall's own version.
    build_hash: &'static str,
    /// Whether there is a newer version, as far as is known: false.
    outdated: bool,
    /// Always false: there are no outposts.
    outpost_outdated: bool,
}

/// The address. It is for everybody who is signed in.
pub fn address() -> MethodRouter<App> {
    Endpoint::new("Version", "Which version this is").on(Method::GET, retrieve).route()
}

/// Says which version this is.
#[utoipa::path(
    get, path = "/api/v3/admin/version/", operation_id = "admin_version_retrieve", tag = "admin",
    responses((status = 200, body = Version, description = "The version."))
)]
pub(crate) async fn retrieve(_: App, _: Call) -> Answer {
    Ok(ok(&Version {
        version_current: AUTHENTIK_VERSION,
        version_latest: AUTHENTIK_VERSION,
        version_latest_valid: false,
        build_hash: env!("CARGO_PKG_VERSION"),
        outdated: false,
        outpost_outdated: false,
    }))
}

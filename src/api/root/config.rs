//! `/api/v3/root/config/`: what clients ask first. It is for everybody.

use axum::response::Response;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::api::endpoint::ok;
use crate::api::open;

/// How long authentik caches, in seconds. Rollcall has no such caches, and clients require the numbers.
const CACHE_TIMEOUT: i64 = 300;

/// What this server can do, and how it reports errors.
#[derive(Serialize, ToSchema)]
pub struct Config {
    error_reporting: ErrorReportingConfig,
    /// What this server can do.
    capabilities: Vec<CapabilitiesEnum>,
    /// Seconds. Clients require it; nothing here depends on it.
    cache_timeout: i64,
    /// Seconds, likewise.
    cache_timeout_flows: i64,
    /// Seconds, likewise.
    cache_timeout_policies: i64,
    /// Seconds, likewise; clients of before 2025 require it.
    cache_timeout_reputation: i64,
}

/// Where errors are reported to: nowhere.
#[derive(Serialize, ToSchema)]
pub struct ErrorReportingConfig {
    /// Always false.
    enabled: bool,
    /// Always `""`.
    sentry_dsn: &'static str,
    /// Always `""`.
    environment: &'static str,
    /// Always false.
    send_pii: bool,
    /// Always 0.
    traces_sample_rate: f64,
}

/// What a server can do, in authentik's words. This one says `can_geo_ip` and `can_asn` at most.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapabilitiesEnum {
    /// Stores files.
    CanSaveMedia,
    /// Stores reports.
    CanSaveReports,
    /// A City file is in use.
    CanGeoIp,
    /// An ASN file is in use.
    CanAsn,
    /// Administrators can act as somebody else.
    CanImpersonate,
    /// It is a development build.
    CanDebug,
    /// It has a licence of authentik's.
    IsEnterprise,
    /// Users can request access.
    CanRequest,
    /// Agents enrol themselves.
    CanAgentSelfService,
}

/// The address.
pub fn address() -> MethodRouter<App> {
    open::address("Config", "What this server can do", retrieve)
}

/// Says what this server can do.
#[utoipa::path(
    get, path = "/api/v3/root/config/", operation_id = "root_config_retrieve", tag = "root", security(()),
    responses((status = 200, body = Config, description = "What this server can do."))
)]
pub(crate) fn retrieve(app: &App) -> Response {
    let files = app.geoip.build_times();
    let has = |wanted: &str| files.iter().any(|(name, _)| *name == wanted);
    let capabilities = [(has("city"), CapabilitiesEnum::CanGeoIp), (has("asn"), CapabilitiesEnum::CanAsn)];
    ok(&Config {
        error_reporting: ErrorReportingConfig {
            enabled: false,
            sentry_dsn: "",
            environment: "",
            send_pii: false,
            traces_sample_rate: 0.0,
        },
        capabilities: capabilities.into_iter().filter_map(|(is_there, word)| is_there.then_some(word)).collect(),
        cache_timeout: CACHE_TIMEOUT,
        cache_timeout_flows: CACHE_TIMEOUT,
        cache_timeout_policies: CACHE_TIMEOUT,
        cache_timeout_reputation: CACHE_TIMEOUT,
    })
}

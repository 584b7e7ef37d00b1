//! `/api/v3/admin/system/`: where the server runs, and what it was asked with.

use std::collections::BTreeMap;
use std::env::consts::{ARCH, OS};

use axum::http::{HeaderMap, Method};
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::api::admin::AUTHENTIK_VERSION;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::domain::Timestamp;

/// Headers of the request that are not given back: they hold credentials.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "x-authentik-csrf"];

/// Where the server runs, and what it was asked with.
#[derive(Serialize, ToSchema)]
pub struct SystemInfo {
    /// The headers of this request, without those that hold credentials.
    http_headers: BTreeMap<String, String>,
    /// The host that was asked for.
    http_host: String,
    /// Whether it was asked for by https.
    http_is_secure: bool,
    runtime: SystemInfoRuntime,
    /// Always `Default`: there is one brand.
    brand: &'static str,
    /// The server's time.
    #[schema(value_type = String, format = DateTime)]
    server_time: Timestamp,
    /// Whether applications are not guarded: without `http.public_url` they are not.
    embedded_outpost_disabled: bool,
    /// `http.public_url`, or `""`.
    embedded_outpost_host: String,
    /// `http.public_url`, or `""`.
    base_url: String,
}

/// What the server runs on.
#[derive(Serialize, ToSchema)]
pub struct SystemInfoRuntime {
    /// Always `""`: the server is not made with Python.
    python_version: &'static str,
    /// `kubernetes`, or `custom`.
    environment: &'static str,
    /// The processor's architecture, such as `x86_64`.
    architecture: &'static str,
    /// System and release, such as `linux-6.1.0`.
    platform: String,
    /// What the system says of itself.
    uname: String,
    /// Always `""`: the server does not use OpenSSL.
    openssl_version: &'static str,
    /// Always null.
    #[schema(required)]
    openssl_fips_enabled: Option<bool>,
    /// The version of authentik whose API this is.
    authentik_version: &'static str,
}

/// The address. It is for administrators.
pub fn address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("System", "Where the server runs").needs(administrators);
    endpoint.on(Method::GET, retrieve).on(Method::POST, create).route()
}

/// Says where the server runs.
#[utoipa::path(
    get, path = "/api/v3/admin/system/", operation_id = "admin_system_retrieve", tag = "admin",
    responses((status = 200, body = SystemInfo, description = "Where the server runs."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let client = call.client()?;
    let public = app.config.http.public_url.as_ref().map(|url| url.origin().to_owned());
    Ok(ok(&SystemInfo {
        http_headers: shown(call.headers()),
        http_host: client.host.clone(),
        http_is_secure: client.is_https,
        runtime: runtime(),
        brand: "Default",
        server_time: app.clock.now(),
        embedded_outpost_disabled: public.is_none(),
        embedded_outpost_host: public.clone().unwrap_or_default(),
        base_url: public.unwrap_or_default(),
    }))
}

/// The same as `GET`. authentik restarts its outpost by it; here nothing has to be.
#[utoipa::path(
    post, path = "/api/v3/admin/system/", operation_id = "admin_system_create", tag = "admin",
    responses((status = 200, body = SystemInfo, description = "Where the server runs."))
)]
pub(crate) async fn create(app: App, call: Call) -> Answer {
    retrieve(app, call).await
}

/// The headers as texts, without those that hold credentials. Values of one name are joined.
fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| !SECRET_HEADERS.contains(&name.as_str())) {
        shown.entry(name.as_str().to_owned()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    shown.into_iter().map(|(name, values)| (name, values.join(", "))).collect()
}

fn runtime() -> SystemInfoRuntime {
    let fact = |name: &str| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).map(|text| text.trim().to_owned());
    let facts: Vec<String> =
        ["ostype", "hostname", "osrelease", "version"].into_iter().filter_map(|name| fact(name).ok()).collect();
    let release = fact("osrelease").map(|release| format!("-{release}")).unwrap_or_default();
    SystemInfoRuntime {
        python_version: "",
        environment: if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() { "kubernetes" } else { "custom" },
        architecture: ARCH,
        platform: format!("{OS}{release}"),
        uname: if facts.is_empty() { format!("{OS} {ARCH}") } else { format!("{} {ARCH}", facts.join(" ")) },
        openssl_version: "",
        openssl_fips_enabled: None,
        authentik_version: AUTHENTIK_VERSION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let pairs = [
            ("authorization", "Bearer a"),
            ("cookie", "b=c"),
            ("x-authentik-csrf", "d"),
            ("accept", "*/*"),
            ("x-two", "1"),
            ("x-two", "2"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        let shown: Vec<String> = shown(&headers).iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["accept=*/*", "x-two=1, 2"]);
    }

    #[test]
    fn the_runtime_is_this_machine() {
        let runtime = runtime();
        assert!(runtime.platform.starts_with(OS) && runtime.uname.ends_with(ARCH), "{} {}", runtime.platform, runtime.uname);
    }
}

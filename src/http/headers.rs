//! Headers that every answer carries.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::actions::app::App;
use crate::config::Hsts;
use crate::http::client::ClientInfo;

/// Nothing from elsewhere, nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Nothing that asks for a sensor or a payment; passkeys are asked for by these pages alone.
const PERMISSIONS_POLICY: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
    microphone=(), midi=(), payment=(), usb=(), publickey-credentials-create=(self), publickey-credentials-get=(self)";

/// A year of https for this host.
const HSTS: &str = "max-age=31536000";
/// The same for all hosts below it, which are not all ours unless the settings say so.
const HSTS_WITH_SUBDOMAINS: &str = "max-age=31536000; includeSubDomains";

/// Marks an answer on a host that is not the server's own but an app's: nothing is said there about https.
#[derive(Clone, Copy, Debug)]
pub struct OnAppHost;

/// Adds what a handler did not set itself (OWASP ASVS v5.0.0-3.4.1 to 3.4.8).
pub async fn add(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_https = request.extensions().get::<ClientInfo>().is_some_and(|client| client.is_https);
    let mut response = next.run(request).await;
    complete(response.headers_mut());
    if is_https && response.extensions().get::<OnAppHost>().is_none() {
        let value = match app.config.http.hsts {
            Hsts::Off => return response,
            Hsts::Host => HSTS,
            Hsts::Subdomains => HSTS_WITH_SUBDOMAINS,
        };
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(value));
    }
    response
}

/// Adds what is the same for all answers.
pub(super) fn complete(headers: &mut HeaderMap) {
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::VARY, "Cookie"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

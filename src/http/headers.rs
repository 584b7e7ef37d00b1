//! Headers that every answer carries.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use crate::actions::app::App;

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

/// What is the same for all answers.
const FIXED: [(HeaderName, HeaderValue); 9] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    (HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS_POLICY)),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::VARY, HeaderValue::from_static("Cookie")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Adds what a handler did not set itself (OWASP ASVS v5.0.0-3.4.1 to 3.4.8). `is_https`: the client asked by https.
pub fn add(app: &App, is_https: bool, response: &mut Response) {
    complete(response.headers_mut());
    if is_https && response.extensions().get::<OnAppHost>().is_none() {
        let value = if app.config.http.hsts_include_subdomains { HSTS_WITH_SUBDOMAINS } else { HSTS };
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
}

/// Adds what is the same for all answers.
pub(super) fn complete(headers: &mut HeaderMap) {
    headers.reserve(FIXED.len() + 6);
    for (name, value) in FIXED {
        headers.entry(name).or_insert(value);
    }
}

//! Rollcall's cookies: their names, their attributes, and how they are read.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite};

use crate::config::Config;
use crate::domain::PlainSecret;

/// authentik's CSRF cookie, which its clients send back as `X-authentik-CSRF`.
pub const CSRF: &str = "authentik_csrf";

/// The session cookie's name: `__Host-` when people come over https, so that no other host can set it.
#[must_use]
pub fn session_name(config: &Config) -> &'static str {
    if config.is_https() { "__Host-rollcall_session" } else { "rollcall_session" }
}

/// The name of the cookie that holds a sign-in under way.
#[must_use]
pub fn flow_name(config: &Config) -> &'static str {
    if config.is_https() { "__Host-rollcall_flow" } else { "rollcall_flow" }
}

/// The last cookie of that name. Quotes around a value are not part of it.
#[must_use]
pub fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = None;
    for header in headers.get_all(header::COOKIE) {
        let text = String::from_utf8_lossy(header.as_bytes());
        for pair in text.split(';') {
            if let Some((key, value)) = pair.split_once('=')
                && key.trim() == name
            {
                let value = value.trim();
                let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                found = Some(inside.unwrap_or(value).to_owned());
            }
        }
    }
    found
}

/// A cookie with the attributes all of ours have: HttpOnly, SameSite=Lax, Path=/, and Secure over
/// https (OWASP ASVS v5.0.0-3.3.1 to 3.3.4).
#[must_use]
pub fn build(config: &Config, name: &'static str, value: String, max_age: Option<Duration>) -> Cookie<'static> {
    let mut cookie = Cookie::new(name, value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Lax);
    cookie.set_secure(config.is_https());
    if let Some(max_age) = max_age {
        cookie.set_max_age(cookie::time::Duration::seconds(i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX)));
    }
    cookie
}

/// Hands a session key to its browser.
pub fn set_session(headers: &mut HeaderMap, config: &Config, key: &PlainSecret, max_age: Option<Duration>) {
    set(headers, &build(config, session_name(config), key.expose().to_owned(), max_age));
}

/// Hands out a CSRF secret, which a page's own scripts must be able to read.
pub fn set_csrf(headers: &mut HeaderMap, config: &Config, secret: String) {
    let mut cookie = build(config, CSRF, secret, None);
    cookie.set_http_only(false);
    set(headers, &cookie);
}

/// Makes the browser forget a cookie.
pub fn remove(headers: &mut HeaderMap, config: &Config, name: &'static str) {
    set(headers, &build(config, name, String::new(), Some(Duration::ZERO)));
}

/// Adds a cookie to an answer.
pub fn set(headers: &mut HeaderMap, cookie: &Cookie<'_>) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        headers.append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cookie_of_a_name_wins() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=\"2\"; a=3; c"));
        headers.append(header::COOKIE, HeaderValue::from_bytes(b"d=\xff; e=").unwrap());
        assert_eq!(find(&headers, "a").as_deref(), Some("3"));
        assert_eq!(find(&headers, "b").as_deref(), Some("2"));
        assert_eq!(find(&headers, "c"), None);
        assert_eq!(find(&headers, "e").as_deref(), Some(""));
    }
}

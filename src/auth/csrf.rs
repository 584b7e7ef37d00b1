//! CSRF protection of state-changing requests with a cookie: authentik's double-submitted token on
//! the API (`docs/compat.md` 5), a keyed proof in the forms of the pages, and the browser's headers
//! (`Origin`, `Sec-Fetch-Site`) on both.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use subtle::ConstantTimeEq;

use crate::actions::app::App;
use crate::auth::{cookies, origin};
use crate::http::client::ClientInfo;

/// The header that must agree with the cookie.
pub const HEADER: &str = "x-authentik-csrf";
const SECRET_LENGTH: usize = 32;
const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Checks a request to the API whose credential is a cookie. Reading needs no proof.
///
/// # Errors
/// The reason, in Django's words.
pub fn check_api_request(method: &Method, headers: &HeaderMap, client: &ClientInfo, app: &App) -> Result<(), String> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE) {
        return Ok(());
    }
    check_origin(headers, client, app)?;
    check_fetch_site(headers)?;
    let secret = cookies::find(headers, cookies::CSRF).ok_or("CSRF cookie not set.")?;
    let secret = unmasked(&secret).map_err(|reason| format!("CSRF cookie {reason}."))?;
    let token = headers.get(HEADER).ok_or("CSRF token missing.")?;
    let from_header = |reason| format!("CSRF token from the 'X-Authentik-Csrf' HTTP header {reason}.");
    let token = unmasked(&String::from_utf8_lossy(token.as_bytes())).map_err(from_header)?;
    if bool::from(secret.ct_eq(&token)) { Ok(()) } else { Err(from_header("incorrect")) }
}

/// Checks the `Origin` header, if there is one, against the request's own, and over https without
/// one the `Referer`.
fn check_origin(headers: &HeaderMap, client: &ClientInfo, app: &App) -> Result<(), String> {
    if headers.contains_key(header::ORIGIN) {
        return check_named_origin(headers, client, app);
    }
    if !client.is_https {
        return Ok(());
    }
    let Some(referer) = headers.get(header::REFERER) else {
        return Err("Referer checking failed - no Referer.".into());
    };
    let referer = String::from_utf8_lossy(referer.as_bytes());
    let origin = referer.match_indices('/').nth(2).and_then(|(end, _)| referer.get(..end)).unwrap_or(&referer);
    if origin::is_own(origin, client, app) {
        return Ok(());
    }
    Err(format!("Referer checking failed - {referer} does not match any trusted origins."))
}

/// Checks the `Origin` header, if there is one. A page whose referrer policy is `no-referrer`,
/// which a proxy may have added, sends `null` with its own forms: then `Sec-Fetch-Site` decides,
/// which pages cannot forge. The request's own proof is checked in addition.
fn check_named_origin(headers: &HeaderMap, client: &ClientInfo, app: &App) -> Result<(), String> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return if headers.contains_key(header::ORIGIN) {
            Err("Origin checking failed - more than one Origin.".into())
        } else {
            Ok(())
        };
    };
    if origin::is_own(&String::from_utf8_lossy(origin.as_bytes()), client, app) {
        return Ok(());
    }
    if origin.as_bytes() == b"null" && is_said_to_be_same_origin(headers) {
        return Ok(());
    }
    let origin = String::from_utf8_lossy(origin.as_bytes());
    Err(format!("Origin checking failed - {origin} does not match any trusted origins."))
}

/// Refuses a request that a browser sent from another site. A client that sends neither header is
/// no browser and is served.
///
/// # Errors
/// The reason.
pub fn check_same_site(headers: &HeaderMap, client: &ClientInfo, app: &App) -> Result<(), String> {
    check_named_origin(headers, client, app)?;
    check_fetch_site(headers)
}

fn check_fetch_site(headers: &HeaderMap) -> Result<(), String> {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err("the request came from another site.".into()),
    }
}

/// Whether a browser says that the request came from this site.
#[must_use]
pub fn is_said_to_be_same_origin(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes() == b"same-origin")
}

/// The proof that a form of ours carries, bound to the cookie it is sent with.
#[must_use]
pub fn form_proof(app: &App, bound_to: &str) -> String {
    app.instance_key.proof("form", bound_to.as_bytes())
}

/// Whether a form carries the proof for its cookie.
#[must_use]
pub fn is_form_proof(app: &App, bound_to: &str, given: &str) -> bool {
    form_proof(app, bound_to).as_bytes().ct_eq(given.as_bytes()).into()
}

/// The secret in a Django CSRF token: 32 letters and digits, or 64 of which the first half masks the
/// second.
fn unmasked(token: &str) -> Result<[u8; SECRET_LENGTH], &'static str> {
    let length = token.chars().count();
    if length != SECRET_LENGTH && length != 2 * SECRET_LENGTH {
        return Err("has incorrect length");
    }
    let places: Option<Vec<usize>> = token.bytes().map(|byte| ALPHABET.iter().position(|letter| *letter == byte)).collect();
    let places = places.ok_or("has invalid characters")?;
    let (mask, masked) = places.split_at(places.len() - SECRET_LENGTH);
    let mut secret = [0; SECRET_LENGTH];
    for (at, place) in masked.iter().enumerate() {
        let shift = mask.get(at).copied().unwrap_or(0);
        let letter = ALPHABET.get((place + ALPHABET.len() - shift) % ALPHABET.len());
        if let (Some(slot), Some(letter)) = (secret.get_mut(at), letter) {
            *slot = *letter;
        }
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_come_off() {
        let secret = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6";
        let mask = "zyxwvutsrqponmlkjihgfedcbaZYXWVU";
        let masked: String = secret
            .bytes()
            .zip(mask.bytes())
            .map(|(s, m)| {
                let at = |b| ALPHABET.iter().position(|letter| *letter == b).unwrap();
                char::from(ALPHABET[(at(s) + at(m)) % 62])
            })
            .collect();
        assert_eq!(unmasked(&format!("{mask}{masked}")), unmasked(secret));
        assert_eq!(unmasked(secret).unwrap(), secret.as_bytes());
        assert_eq!(unmasked("short"), Err("has incorrect length"));
        assert_eq!(unmasked(&"-".repeat(32)), Err("has invalid characters"));
        assert_eq!(unmasked(&"é".repeat(32)), Err("has invalid characters"));
    }
}

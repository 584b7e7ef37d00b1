//! Rollcall's cookies: their names, their attributes, and how they are read.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite};

use crate::actions::app::App;
use crate::config::Config;

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

/// The same name with the instance's tag at its end. Browsers keep the cookies of all ports of a host
/// together, so two instances on one host write to the same `name`. Each sets its cookies under both
/// names: `name` for clients that know only that one, and this one, which no other instance overwrites.
#[must_use]
pub fn own_name(app: &App, name: &str) -> String {
    format!("{name}_{}", app.instance_key.tag())
}

/// The values that a request holds under a name and under the instance's [own](own_name) one: at most two,
/// and different. Which of them is this instance's is for its reader to find out.
#[must_use]
pub fn values(app: &App, headers: &HeaderMap, name: &str) -> Vec<String> {
    if !headers.contains_key(header::COOKIE) {
        return Vec::new();
    }
    let mut values: Vec<String> = find(headers, name).into_iter().collect();
    values.extend(find(headers, &own_name(app, name)).filter(|own| !values.contains(own)));
    values
}

/// The white space that is allowed around a name and a value (RFC 6265bis, 5.6); other blanks are
/// part of it.
const BLANKS: [char; 2] = [' ', '\t'];

/// The value of the cookie with that name. Quotes around a value are not part of it.
///
/// Read as strictly as browsers write (RFC 6265bis, 5.6): pairs are split at `;`, only spaces and tabs are
/// taken off, a pair without `=` has no name, and names are compared letter by letter. Of several cookies
/// of one name the last counts, as in Django. A name that begins with `__Host-` can be there only once:
/// where it is twice, one of them was not set by this host, so there is none.
#[must_use]
pub fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found: Option<&[u8]> = None;
    for header in headers.get_all(header::COOKIE) {
        for pair in header.as_bytes().split(|byte| *byte == b';') {
            let Some(sign) = pair.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = pair.split_at(sign);
            if trim(key) != name.as_bytes() {
                continue;
            }
            if found.is_some() && name.starts_with(HOST_PREFIX) {
                return None;
            }
            found = Some(trim(value.get(1..).unwrap_or_default()));
        }
    }
    let value = String::from_utf8_lossy(found?);
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some(inside.unwrap_or(&value).to_owned())
}

/// Cookies with such a name come from this host, over https, for all of its paths.
const HOST_PREFIX: &str = "__Host-";

fn trim(bytes: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| !BLANKS.contains(&char::from(*byte));
    let start = bytes.iter().position(is_kept).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(is_kept).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// A cookie with the attributes all of ours have: HttpOnly, SameSite=Lax, Path=/, and Secure over
/// https (OWASP ASVS v5.0.0-3.3.1 to 3.3.4).
#[must_use]
pub fn build(config: &Config, name: impl Into<Cow<'static, str>>, value: String, max_age: Option<Duration>) -> Cookie<'static> {
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

/// Hands a value to its browser under a name and under the instance's [own](own_name) one.
pub fn set_both(headers: &mut HeaderMap, app: &App, name: &'static str, value: &str, max_age: Option<Duration>) {
    set(headers, &build(&app.config, name, value.to_owned(), max_age));
    set(headers, &build(&app.config, own_name(app, name), value.to_owned(), max_age));
}

/// Deletes the cookies that [`set_both`] set. The shared name keeps its value if it is another
/// instance's: if the request has another value under this instance's own name, or if `is_ours` is
/// false.
pub fn remove_both(headers: &mut HeaderMap, app: &App, name: &'static str, request: &HeaderMap, is_ours: bool) {
    let own_name = own_name(app, name);
    let (shared, own) = (find(request, name), find(request, &own_name));
    let is_ours = match own {
        Some(_) => shared == own || shared.is_none(),
        None => is_ours || shared.is_none(),
    };
    if is_ours {
        remove(headers, &app.config, name);
    }
    remove(headers, &app.config, own_name);
}

/// Hands out a CSRF secret, which a page's own scripts must be able to read.
pub fn set_csrf(headers: &mut HeaderMap, config: &Config, secret: String) {
    let mut cookie = build(config, CSRF, secret, None);
    cookie.set_http_only(false);
    set(headers, &cookie);
}

/// Makes the browser forget a cookie.
pub fn remove(headers: &mut HeaderMap, config: &Config, name: impl Into<Cow<'static, str>>) {
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

    /// One `Cookie` header for each line.
    fn of(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        headers
    }

    /// Every mark that some parser takes for a blank, and that a browser keeps in a name.
    const UNICODE_BLANKS: [char; 26] = [
        '\u{85}', '\u{a0}', '\u{ad}', '\u{1680}', '\u{180e}', '\u{2000}', '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}',
        '\u{2005}', '\u{2006}', '\u{2007}', '\u{2008}', '\u{2009}', '\u{200a}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2028}',
        '\u{2029}', '\u{202f}', '\u{205f}', '\u{2060}', '\u{3000}', '\u{feff}',
    ];

    #[test]
    fn only_spaces_and_tabs_come_off_a_name() {
        let name = "__Host-rollcall_session";
        for blank in UNICODE_BLANKS {
            for forged in [format!("{blank}{name}=B"), format!("{name}{blank}=B"), format!("{blank}{name}{blank}=B")] {
                for line in [format!("{name}=A; {forged}"), format!("{forged}; {name}=A"), format!("{name}=A;{forged}")] {
                    assert_eq!(find(&of(&[line.as_bytes()]), name).as_deref(), Some("A"), "{line:?}");
                }
                assert_eq!(find(&of(&[forged.as_bytes()]), name), None, "{forged:?}");
            }
        }
        assert_eq!(find(&of(&[b"x=1; \t __Host-rollcall_session \t= \tA\t ; y=2"]), name).as_deref(), Some("A"));
    }

    #[test]
    fn two_cookies_of_one_host_name_are_none() {
        let name = "__Host-rollcall_session";
        for lines in [
            &[b"__Host-rollcall_session=A; __Host-rollcall_session=B".as_slice()][..],
            &[b"__Host-rollcall_session=A", b"x=1; __Host-rollcall_session=B"],
            &[b"__Host-rollcall_session=A;__Host-rollcall_session=A"],
            &[b"__Host-rollcall_session=A; __Host-rollcall_session="],
            &[b"__Host-rollcall_session=A; \t__Host-rollcall_session\t=\"B\""],
        ] {
            assert_eq!(find(&of(lines), name), None, "{lines:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_host_name_is_another_cookie() {
        let name = "__Host-rollcall_session";
        for forged in [
            "__host-rollcall_session=B",
            "__HOST-rollcall_session=B",
            "__Host-Rollcall_session=B",
            "__Host-rollcall_session2=B",
            "=__Host-rollcall_session=B",
            "= __Host-rollcall_session=B",
            "__Host-rollcall_session",
            "rollcall_session=B",
            "x=__Host-rollcall_session=B",
            "x=\"; y=__Host-rollcall_session=B\"",
            "$__Host-rollcall_session=B",
            "__Host-rollcall_session[]=B",
            "__Host%2drollcall_session=B",
            "__Host-rollcall_session,=B",
            "x=1,__Host-rollcall_session=B",
        ] {
            assert_eq!(find(&of(&[forged.as_bytes()]), name), None, "{forged}");
            let both = format!("{forged}; {name}=A");
            assert_eq!(find(&of(&[both.as_bytes()]), name).as_deref(), Some("A"), "{both}");
            let both = format!("{name}=A; {forged}");
            assert_eq!(find(&of(&[both.as_bytes()]), name).as_deref(), Some("A"), "{both}");
        }
    }
}

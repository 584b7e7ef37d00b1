//! App passwords that a program sends with a request; and which `Authorization` is the app's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::domain::guard::headers::Headers;

/// How the key of an app password begins.
const START: &str = "rcp_";
/// The header for apps that need `Authorization` for themselves.
const OWN_HEADER: &str = "x-rollcall-key";
/// authentik's name for "whose token it is", where a name must be given.
const ANY_NAME: &str = "goauthentik.io/token";

/// An app password that was sent, proved or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The key.
    pub key: String,
    /// The name that was sent with it; `None`: none, or one that fits everybody.
    pub username: Option<String>,
}

/// The app password of a request: as `Authorization: Bearer`, as the password of `Basic`, or as `X-Rollcall-Key`. Two
/// different ones are none.
///
/// # Errors
/// When it is clear that one was meant, and not which.
pub fn app_password(headers: &impl Headers) -> Result<Option<Given>, Ambiguous> {
    let own = headers.lines(OWN_HEADER).into_iter().filter_map(|line| {
        let key = std::str::from_utf8(line).ok()?.trim();
        key.starts_with(START).then(|| Given { key: key.to_owned(), username: None })
    });
    let mut all = own.chain(headers.lines("authorization").into_iter().filter_map(read));
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => Err(Ambiguous),
    }
}

/// More than one app password in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Whether the value of an `Authorization` header has an app password, which no app may see.
#[must_use]
pub fn is_ours(authorization: &[u8]) -> bool {
    read(authorization).is_some()
}

fn read(authorization: &[u8]) -> Option<Given> {
    let text = std::str::from_utf8(authorization).ok()?.trim();
    let (scheme, rest) = text.split_once([' ', '\t'])?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return rest.starts_with(START).then(|| Given { key: rest.to_owned(), username: None });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    let username = (name != ANY_NAME).then(|| name.to_owned());
    password.starts_with(START).then(|| Given { key: password.to_owned(), username })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &str)]) -> Result<Option<(String, Option<String>)>, Ambiguous> {
        let lines: Vec<(&'static str, Vec<u8>)> = lines.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        app_password(&lines).map(|given| given.map(|given| (given.key, given.username)))
    }

    #[test]
    fn an_app_password_comes_in_three_ways() {
        let key = || "rcp_k".to_owned();
        assert_eq!(of(&[("Authorization", "Bearer rcp_k")]), Ok(Some((key(), None))));
        assert_eq!(of(&[("authorization", "bearer  rcp_k ")]), Ok(Some((key(), None))));
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert_eq!(of(&[("authorization", &basic("alice:rcp_k"))]), Ok(Some((key(), Some("alice".to_owned())))));
        assert_eq!(of(&[("authorization", &basic("goauthentik.io/token:rcp_k"))]), Ok(Some((key(), None))));
        assert_eq!(of(&[("x-rollcall-key", "rcp_k"), ("authorization", "Digest x")]), Ok(Some((key(), None))));
        assert_eq!(of(&[("x-rollcall-key", "rcp_k"), ("authorization", "Bearer rcp_k")]), Err(Ambiguous));
        assert_eq!(of(&[("x-rollcall-key", "rcp_k"), ("x-rollcall-key", "rcp_l")]), Err(Ambiguous));
        for foreign in
            ["Bearer x", "Basic !", "Basic YTpi", "MediaBrowser Token=\"rcp_k\"", "rcp_k", "", "Bearer", "Negotiate rcp_k"]
        {
            assert_eq!(of(&[("authorization", foreign)]), Ok(None), "{foreign}");
            assert!(!is_ours(foreign.as_bytes()));
        }
        assert!(is_ours(basic("alice:rcp_k").as_bytes()) && is_ours(b"Bearer rcp_") && !is_ours(b"Bearer \xff"));
    }
}

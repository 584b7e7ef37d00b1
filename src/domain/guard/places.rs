//! The addresses on guarded hosts that are Rollcall's own, in its words and in authentik's.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// In whose words a host's own addresses are asked for and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Words {
    /// Rollcall's: `/.rollcall/…`.
    #[default]
    Own,
    /// Those of authentik's outposts: `/outpost.goauthentik.io/…`.
    Authentik,
}

/// One of these addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first step of a sign-in.
    Start,
    /// The last step of a sign-in.
    Callback,
    /// Signing out.
    SignOut,
    /// The page for requests that are refused.
    Denied,
    /// Who is signed in, as JSON.
    Who,
    /// Whether there is an answer.
    Ping,
}

/// The addresses.
const PLACES: [(Words, &str, Place); 9] = [
    (Words::Own, "/.rollcall/start", Place::Start),
    (Words::Own, "/.rollcall/callback", Place::Callback),
    (Words::Own, "/.rollcall/sign-out", Place::SignOut),
    (Words::Own, "/.rollcall/denied", Place::Denied),
    (Words::Own, "/.rollcall/who", Place::Who),
    (Words::Authentik, "/outpost.goauthentik.io/start", Place::Start),
    (Words::Authentik, "/outpost.goauthentik.io/callback", Place::Callback),
    (Words::Authentik, "/outpost.goauthentik.io/sign_out", Place::SignOut),
    (Words::Authentik, "/outpost.goauthentik.io/ping", Place::Ping),
];

/// The first segments of these addresses, with their slash.
const ROOMS: [&str; 2] = ["/.rollcall", "/outpost.goauthentik.io"];

/// What answers at exactly this path.
#[must_use]
pub fn exact(path: &str) -> Option<(Words, Place)> {
    PLACES.iter().find(|(_, known, _)| *known == path).map(|(words, _, place)| (*words, *place))
}

/// Whether a reading of a path is one of these addresses or below them, in any letter case. Such a request never
/// reaches an app.
#[must_use]
pub fn is_ours(path: &str) -> bool {
    ROOMS.iter().any(|room| {
        let head = path.get(..room.len()).is_some_and(|head| head.eq_ignore_ascii_case(room));
        head && matches!(path.as_bytes().get(room.len()), None | Some(b'/'))
    })
}

impl Words {
    /// The path of the first step of a sign-in.
    #[must_use]
    pub fn start(self) -> &'static str {
        match self {
            Self::Own => "/.rollcall/start",
            Self::Authentik => "/outpost.goauthentik.io/start",
        }
    }

    /// The path of its last step.
    #[must_use]
    pub fn callback(self) -> &'static str {
        match self {
            Self::Own => "/.rollcall/callback",
            Self::Authentik => "/outpost.goauthentik.io/callback",
        }
    }

    /// The path that signs out.
    #[must_use]
    pub fn sign_out(self) -> &'static str {
        match self {
            Self::Own => "/.rollcall/sign-out",
            Self::Authentik => "/outpost.goauthentik.io/sign_out",
        }
    }
}

/// The target of a sign-in in the query of its first step: all that follows `rd=`. It is decoded where it was encoded:
/// authentik's lines for nginx put an address there as it is, `&` included.
#[must_use]
pub fn target(query: &str) -> Option<Cow<'_, str>> {
    let at = if query.starts_with("rd=") { 0 } else { query.find("&rd=")? + 1 };
    let rest = query.get(at + "rd=".len()..)?;
    let is_plain = rest.starts_with('/') || rest.get(..8).is_some_and(|start| start.contains("://"));
    if is_plain {
        return Some(rest.into());
    }
    let value = rest.split('&').next().unwrap_or_default();
    percent_decode_str(value).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_itself_is_answered_and_all_below_is_ours() {
        assert_eq!(exact("/.rollcall/start"), Some((Words::Own, Place::Start)));
        assert_eq!(exact("/outpost.goauthentik.io/sign_out"), Some((Words::Authentik, Place::SignOut)));
        for other in [
            "/.rollcall/start/",
            "/.rollcall/START",
            "/.rollcall/../admin",
            "/.rollcall",
            "/start",
            "/outpost.goauthentik.io/auth/nginx",
        ] {
            assert_eq!(exact(other), None, "{other}");
        }
        for ours in ["/.rollcall", "/.rollcall/", "/.ROLLCALL/x", "/outpost.goauthentik.io/../x", "/Outpost.goauthentik.io"] {
            assert!(is_ours(ours), "{ours}");
        }
        for not in
            ["/", "/.rollcallx", "/x/.rollcall/start", "/outpost.goauthentik.iox/", "/.rollcal", "/\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}x"]
        {
            assert!(!is_ours(not), "{not}");
        }
        for words in [Words::Own, Words::Authentik] {
            assert_eq!(exact(words.start()), Some((words, Place::Start)));
            assert_eq!(exact(words.callback()), Some((words, Place::Callback)));
            assert_eq!(exact(words.sign_out()), Some((words, Place::SignOut)));
        }
    }

    #[test]
    fn a_target_is_decoded_only_where_it_was_encoded() {
        for (query, want) in [
            ("rd=https%3A%2F%2Fapp.example%2Fa%3Fb%3D1%26c%3D2", Some("https://app.example/a?b=1&c=2")),
            ("try=1&rd=%2Fa", Some("/a")),
            ("rd=%2Fa&x=1", Some("/a")),
            ("rd=https://app.example/a?b=1&c=2", Some("https://app.example/a?b=1&c=2")),
            ("rd=http://app.example/a?q=%2541", Some("http://app.example/a?q=%2541")),
            ("rd=/a?b=1&rd=/c", Some("/a?b=1&rd=/c")),
            ("rd=", Some("")),
            ("rd=%ff", None),
            ("xrd=/a", None),
            ("", None),
        ] {
            assert_eq!(target(query).as_deref(), want, "{query}");
        }
    }
}

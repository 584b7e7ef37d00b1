//! What a signed identity says: the guard's header for apps that check who a request is from by themselves.

use std::time::Duration;

use serde::Serialize;

use crate::domain::application::demand::Level;
use crate::domain::application::values::{GroupsSent, Identity};
use crate::domain::{Methods, SessionId, Timestamp};

/// The `typ` of a signed identity: no address takes it for another kind of token.
pub const TYP: &str = "identity+jwt";
/// How long one is good.
pub const LIVES: Duration = Duration::from_secs(60);

/// What a session proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The session.
    pub session: SessionId,
    /// How its user proved who they are.
    pub methods: Methods,
    /// When they last did; the instant 0: never here.
    pub at: Timestamp,
}

/// Who is meant, and which application is told.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The issuer of the application.
    pub issuer: &'a str,
    /// The application's slug.
    pub slug: &'a str,
    /// Which names of groups it is told.
    pub groups: &'a GroupsSent,
    /// The user.
    pub user: &'a Identity,
    /// The session; `None`: an app password.
    pub proved: Option<Proved>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    preferred_username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    groups: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

/// The claims as JSON, without the times of the token.
///
/// # Errors
/// Those of the serializer.
pub fn claims(said: Said<'_>) -> Result<String, serde_json::Error> {
    let Said { issuer, slug, groups, user, proved } = said;
    let claims = Claims {
        iss: issuer,
        aud: slug,
        sub: &user.uid,
        preferred_username: &user.username,
        name: &user.name,
        groups: user.groups.iter().map(String::as_str).filter(|name| groups.sends(name)).collect(),
        sid: proved.map(|proved| proved.session.to_string()),
        acr: proved.map(|proved| Level::of(proved.methods).acr()),
        amr: proved.map(|proved| proved.methods.words()),
        auth_time: proved.map(|proved| proved.at.seconds()).filter(|at| *at > 0),
    };
    serde_json::to_string(&claims)
}

/// The claims with the times of a token that is made at `now`.
#[must_use]
pub fn timed(claims: &str, now: Timestamp) -> String {
    let (issued, expires) = (now.seconds(), now.plus(LIVES).seconds());
    format!("{},\"iat\":{issued},\"exp\":{expires}}}", claims.strip_suffix('}').unwrap_or(claims))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_identity_says_what_is_known_and_nothing_else() {
        let user = Identity {
            username: "alice".into(),
            name: "Zoë \"Z\"".into(),
            uid: "u1".into(),
            groups: vec!["staff".into(), "a,b".into(), "secret".into()],
            ..Identity::default()
        };
        let groups = GroupsSent::Only(vec!["staff".into(), "a*".into()]);
        let now = Timestamp(1_800_000_000_900_000);
        let session = SessionId(Uuid::from_u128(7));
        let said =
            |proved| Said { issuer: "https://id.example/application/o/wiki/", slug: "wiki", groups: &groups, user: &user, proved };
        let read = |said| serde_json::from_str::<Value>(&timed(&claims(said).unwrap(), now)).unwrap();
        let proved = Proved { session, methods: Methods::parse("pwd otp mfa"), at: Timestamp(1_799_999_000_000_000) };
        assert_eq!(
            read(said(Some(proved))),
            json!({
                "iss": "https://id.example/application/o/wiki/", "aud": "wiki", "sub": "u1", "preferred_username": "alice",
                "name": "Zoë \"Z\"", "groups": ["staff", "a,b"], "sid": session.to_string(), "acr": "urn:rollcall:acr:mfa",
                "amr": ["pwd", "otp", "mfa"], "auth_time": 1_799_999_000, "iat": 1_800_000_000, "exp": 1_800_000_060,
            })
        );
        let imported = read(said(Some(Proved { at: Timestamp(0), methods: Methods::default(), ..proved })));
        assert_eq!((imported.get("auth_time"), &imported["amr"]), (None, &json!([])));
        let program = read(said(None));
        for absent in ["sid", "acr", "amr", "auth_time"] {
            assert_eq!(program.get(absent), None, "an app password has no session: {absent}");
        }
    }
}

//! What a user agrees to before an app gets it.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::domain::application::client::{Client, ConsentMode};
use crate::domain::oidc::claims::has;
use crate::domain::oidc::redirect::RedirectUri;
use crate::domain::{HashedSecret, Timestamp};

/// How long an answer counts for the request that asked, where each request asks.
const ANSWER_COUNTS: Duration = Duration::from_secs(5 * 60);

/// What a user agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The scopes, separated by blanks.
    pub scope: String,
    /// What the client was like then.
    pub terms: HashedSecret,
    /// When.
    pub given_at: Timestamp,
}

/// What a client is like, as far as a consent depends on it: its type and its addresses.
#[must_use]
pub fn terms(client: &Client) -> HashedSecret {
    let addresses: Vec<&str> = client.redirect_uris.iter().map(RedirectUri::as_str).collect();
    let text = serde_json::to_vec(&(client.is_public, addresses)).unwrap_or_default();
    HashedSecret(Sha256::digest(text).into())
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The client that asks.
    pub client: &'a Client,
    /// The scopes that it is to get.
    pub scope: &'a str,
    /// Whether it asks for the question itself (`prompt=consent`).
    pub is_prompted: bool,
    /// When the request was first seen.
    pub seen: Timestamp,
}

/// Whether a user is asked.
#[must_use]
pub fn is_needed(wish: Wish<'_>, given: Option<&Consent>, now: Timestamp) -> bool {
    let given = given.filter(|given| {
        let is_covered = wish.scope.split(' ').all(|scope| has(&given.scope, scope));
        is_covered && given.terms == terms(wish.client)
    });
    let is_answer = given.is_some_and(|given| given.given_at >= wish.seen && given.given_at.is_near(now, ANSWER_COUNTS));
    match wish.client.consent {
        _ if wish.is_prompted => !is_answer,
        ConsentMode::Always => !is_answer,
        ConsentMode::Once => given.is_none(),
        // What outlives the browser's session is asked for once.
        ConsentMode::Implicit => wish.client.has_own_session(wish.scope) && given.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::application::client::Offline;

    const MINUTE: i64 = 60_000_000;

    fn client(consent: ConsentMode) -> Client {
        Client { consent, redirect_uris: vec![RedirectUri::parse("https://app.example/cb", &[]).unwrap()], ..Client::default() }
    }

    fn asks(client: &Client, scope: &str, is_prompted: bool, given: &Consent) -> bool {
        is_needed(Wish { client, scope, is_prompted, seen: Timestamp(10 * MINUTE) }, Some(given), Timestamp(12 * MINUTE))
    }

    #[test]
    fn a_consent_counts_for_its_scopes_and_for_the_client_as_it_was() {
        let once = client(ConsentMode::Once);
        let given = Consent { scope: "openid email".into(), terms: terms(&once), given_at: Timestamp(MINUTE) };
        assert!(!asks(&once, "openid email", false, &given) && !asks(&once, "openid", false, &given));
        assert!(asks(&once, "openid email groups", false, &given), "more");
        assert!(asks(&once, "openid", true, &given), "the app wants the question");
        assert!(asks(&Client { is_public: true, ..once.clone() }, "openid", false, &given));
        let elsewhere = RedirectUri::parse("https://app.example/other", &[]).unwrap();
        assert!(asks(&Client { redirect_uris: vec![elsewhere], ..once.clone() }, "openid", false, &given));
        assert!(is_needed(Wish { client: &once, scope: "openid", is_prompted: false, seen: Timestamp(0) }, None, Timestamp(0)));
    }

    #[test]
    fn an_answer_counts_for_its_request_alone() {
        let always = client(ConsentMode::Always);
        let given = |at: i64| Consent { scope: "openid".into(), terms: terms(&always), given_at: Timestamp(at * MINUTE) };
        assert!(asks(&always, "openid", false, &given(9)), "before the request");
        assert!(!asks(&always, "openid", false, &given(11)));
        assert!(asks(&always, "openid", false, &given(30)), "a clock that was set back");
        let late = Wish { client: &always, scope: "openid", is_prompted: false, seen: Timestamp(10 * MINUTE) };
        assert!(is_needed(late, Some(&given(11)), Timestamp(17 * MINUTE)));
        let own = Client { offline: Offline::OwnSession, ..client(ConsentMode::Implicit) };
        let is_asked =
            |scope, given| is_needed(Wish { client: &own, scope, is_prompted: false, seen: Timestamp(0) }, given, Timestamp(0));
        assert!(is_asked("openid offline_access", None) && !is_asked("openid", None));
        let agreed = Consent { scope: "openid offline_access".into(), terms: terms(&own), given_at: Timestamp(0) };
        assert!(!is_asked("openid offline_access", Some(&agreed)));
        let implicit = client(ConsentMode::Implicit);
        assert!(!asks(&implicit, "openid email", false, &given(1)));
        assert!(asks(&implicit, "openid", true, &given(1)) && !asks(&implicit, "openid", true, &given(11)));
    }
}

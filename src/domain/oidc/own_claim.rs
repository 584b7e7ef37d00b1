//! A client's own claims: each has a name, the scope that gives it, and where its value comes from.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::domain::application::rule::ApplicationRule;
use crate::domain::application::values::{GroupsSent, Identity, Sent, Source};
use crate::domain::oidc::claims::SCOPES;

/// Claims that the protocols give a meaning: no table says what they are.
const PROTOCOL: [&str; 24] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "azp",
    "at_hash",
    "c_hash",
    "s_hash",
    "sid",
    "scope",
    "client_id",
    "events",
    "cnf",
    "act",
    "may_act",
    "_claim_names",
    "_claim_sources",
];
/// The longest name, in characters.
const MAX_NAME: usize = 64;

/// A claim of a client's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnClaim {
    /// Its name.
    pub name: String,
    /// The scope that gives it.
    pub scope: String,
    /// Where its value comes from.
    pub source: Source,
}

impl OwnClaim {
    /// Reads `name=scope:source`, such as `department=profile:attributes.department`.
    ///
    /// # Errors
    /// [`ApplicationRule::Claim`], [`ApplicationRule::Scope`] or [`ApplicationRule::Source`].
    pub fn parse(text: &str) -> Result<Self, ApplicationRule> {
        let refused = || ApplicationRule::Claim(text.to_owned());
        let (name, rest) = text.split_once('=').ok_or_else(refused)?;
        let (scope, source) = rest.split_once(':').ok_or_else(refused)?;
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if !is_name || PROTOCOL.contains(&name) {
            return Err(refused());
        }
        if SCOPES.iter().all(|known| known.name != scope) {
            return Err(ApplicationRule::Scope(scope.to_owned()));
        }
        Ok(Self { name: name.to_owned(), scope: scope.to_owned(), source: Source::parse(source)? })
    }

    /// Its value for a user; `None`: there is none, and the claim is left out.
    #[must_use]
    pub fn value(&self, user: &Identity, groups: &GroupsSent) -> Option<Value> {
        match (&self.source, self.source.value(user, groups)?) {
            (Source::EmailVerified, _) => Some(user.is_email_verified.into()),
            (_, Sent::Text(text)) => Some(text.into()),
            (_, Sent::List(list)) => Some(json!(list)),
        }
    }
}

impl fmt::Display for OwnClaim {
    /// What [`OwnClaim::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name, self.scope, self.source)
    }
}

impl Serialize for OwnClaim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OwnClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_its_scope_and_source_and_is_none_of_the_protocols() {
        for good in [
            "department=profile:attributes.department",
            "https://a.example/role=openid:text:a:b=c",
            "entitlements=entitlements:groups",
        ] {
            assert_eq!(OwnClaim::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "a",
            "a=profile",
            "=profile:name",
            "sub=openid:username",
            "sid=openid:uuid",
            "aud=openid:text:x",
            "a b=openid:name",
        ] {
            assert!(matches!(OwnClaim::parse(bad), Err(ApplicationRule::Claim(_))), "{bad}");
        }
        assert_eq!(OwnClaim::parse("a=nothing:name"), Err(ApplicationRule::Scope("nothing".into())));
        assert_eq!(OwnClaim::parse("a=openid:password"), Err(ApplicationRule::Source("password".into())));
    }

    #[test]
    fn a_value_is_what_is_known() {
        let user = Identity { username: "alice".into(), groups: vec!["a".into(), "b".into()], ..Identity::default() };
        let value = |text: &str| OwnClaim::parse(text).unwrap().value(&user, &GroupsSent::Only(vec!["a".into()]));
        assert_eq!(value("x=openid:username"), Some(json!("alice")));
        assert_eq!(value("x=openid:groups"), Some(json!(["a"])));
        assert_eq!(value("x=openid:email_verified"), Some(json!(false)));
        assert_eq!((value("x=openid:email"), value("x=openid:attributes.a")), (None, None));
    }
}

//! Scopes, and the claims that they give (OpenID Connect Core 1.0, 5.4).

use serde_json::{Map, Value, json};

use crate::domain::application::values::{GroupsSent, Identity};
use crate::domain::oidc::own_claim::OwnClaim;

/// The scope without which a request is plain OAuth.
pub const OPENID: &str = "openid";
/// The scope of refresh tokens.
pub const OFFLINE: &str = "offline_access";

/// A scope that a client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its word.
    pub name: &'static str,
    /// The claims that it gives.
    pub claims: &'static [&'static str],
    /// What it gives, for the person who is asked.
    pub words: &'static str,
}

/// The scope of authentik's proxies.
pub const PROXY: &str = "ak_proxy";

/// All of them, in the order in which they are granted.
pub const SCOPES: [Scope; 7] = [
    Scope { name: OPENID, claims: &[], words: "who you are" },
    Scope {
        name: "profile",
        claims: &["name", "given_name", "preferred_username", "nickname", "groups", "updated_at"],
        words: "your name and groups",
    },
    Scope { name: "email", claims: &["email", "email_verified"], words: "your e-mail address" },
    Scope { name: "groups", claims: &["groups"], words: "your groups" },
    Scope { name: "entitlements", claims: &["entitlements", "roles"], words: "what you may do there" },
    Scope { name: PROXY, claims: &["ak_proxy"], words: "all that is noted about you, and whether you administer" },
    Scope { name: OFFLINE, claims: &[], words: "to stay signed in while you are" },
];

/// What is granted of the scopes that were asked for: those that the client has, each once, in their order. Nothing asked:
/// all of the client's but [`OFFLINE`].
#[must_use]
pub fn granted(asked: Option<&str>, has: &[String]) -> String {
    let is_asked = |name: &str| match asked.map(str::trim).filter(|asked| !asked.is_empty()) {
        Some(asked) => asked.split_ascii_whitespace().any(|word| word == name),
        None => name != OFFLINE,
    };
    let given = SCOPES.iter().filter(|scope| is_asked(scope.name) && has.iter().any(|own| own == scope.name));
    given.map(|scope| scope.name).collect::<Vec<_>>().join(" ")
}

/// Whether a list of scopes has this one.
#[must_use]
pub fn has(scopes: &str, name: &str) -> bool {
    scopes.split(' ').any(|scope| scope == name)
}

/// The names of the claims that these scopes can give, with a client's own.
#[must_use]
pub fn names<'a>(scopes: &[String], own: &'a [OwnClaim]) -> Vec<&'a str> {
    let has = |name: &str| scopes.iter().any(|scope| scope == name);
    let built_in = SCOPES.iter().filter(|scope| has(scope.name)).flat_map(|scope| scope.claims.iter().copied());
    let own = own.iter().filter(|claim| has(&claim.scope)).map(|claim| claim.name.as_str());
    let mut names: Vec<&str> = Vec::new();
    for name in built_in.chain(own) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The claims that these scopes give of a user, with a client's own, which come before others of their name; what is not
/// known is left out.
#[must_use]
pub fn of(scopes: &str, user: &Identity, groups: &GroupsSent, own: &[OwnClaim]) -> Map<String, Value> {
    let mut claims = Map::new();
    for name in SCOPES.iter().filter(|scope| has(scopes, scope.name)).flat_map(|scope| scope.claims) {
        let known = |text: &str| Some(text).filter(|text| !text.is_empty()).map(Value::from);
        let value = match *name {
            "name" | "given_name" => known(&user.name),
            "preferred_username" | "nickname" => known(&user.username),
            "groups" => Some(json!(user.groups.iter().filter(|name| groups.sends(name)).collect::<Vec<_>>())),
            "email" => known(&user.email),
            "email_verified" => known(&user.email).map(|_| user.is_email_verified.into()),
            "updated_at" => user.updated_at.map(Value::from),
            "ak_proxy" => Some(json!({"user_attributes": user.attributes, "is_superuser": user.is_superuser})),
            _ => Some(json!([])),
        };
        claims.extend(value.map(|value| ((*name).to_owned(), value)));
    }
    for claim in own.iter().filter(|claim| has(scopes, &claim.scope)) {
        claims.extend(claim.value(user, groups).map(|value| (claim.name.clone(), value)));
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<String> {
        SCOPES.iter().map(|scope| scope.name.to_owned()).collect()
    }

    #[test]
    fn a_grant_has_what_was_asked_and_the_client_may() {
        assert_eq!(granted(Some("email openid email unknown"), &all()), "openid email");
        assert_eq!(granted(Some("openid profile"), &["openid".to_owned()]), "openid");
        assert_eq!(granted(None, &all()), "openid profile email groups entitlements ak_proxy");
        assert_eq!(granted(Some("  "), &all()), granted(None, &all()));
        assert_eq!(granted(Some("address"), &all()), "");
    }

    #[test]
    fn claims_are_those_of_the_scopes() {
        let user = Identity {
            username: "alice".into(),
            name: "Alice A".into(),
            groups: vec!["staff".into(), "secret".into()],
            updated_at: Some(1_800_000_000),
            ..Identity::default()
        };
        let some = GroupsSent::Only(vec!["staff".into()]);
        let claims = of("openid profile email", &user, &some, &[]);
        assert_eq!(
            Value::Object(claims),
            json!({"name": "Alice A", "given_name": "Alice A", "preferred_username": "alice", "nickname": "alice",
                "groups": ["staff"], "updated_at": 1_800_000_000})
        );
        assert_eq!(of("openid", &user, &some, &[]), Map::new());
        let own = ["roles=entitlements:text:editor", "name=openid:username"].map(|text| OwnClaim::parse(text).unwrap());
        let filled = of("openid entitlements", &user, &some, &own);
        assert_eq!(Value::Object(filled), json!({"entitlements": [], "roles": "editor", "name": "alice"}));
        let few = of("openid", &user, &some, &own);
        assert_eq!(Value::Object(few), json!({"name": "alice"}), "each by its scope");
        let proxy = of("openid ak_proxy", &user, &some, &[]);
        assert_eq!(proxy["ak_proxy"], json!({"user_attributes": {}, "is_superuser": false}));
        assert_eq!(names(&all(), &[]).iter().filter(|name| **name == "groups").count(), 1);
    }
}

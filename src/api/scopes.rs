//! Which scope of a token each address needs. What is not here, no scope permits: tokens with scopes cannot
//! make tokens, show or set keys, set passwords or make links.

use axum::http::Method;

use crate::domain::scope::{Need, Scope};

/// What a request needs.
#[must_use]
pub fn needed(method: &Method, path: &str) -> Need {
    let path = path.strip_prefix("/api/v3/").unwrap_or_default().trim_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match (parts.as_slice(), is_read) {
        (["core", "authenticated_sessions" | "ended_sessions" | "app_sessions", ..], true) => Need::One(Scope::SessionsRead),
        (["core", "authenticated_sessions" | "app_sessions", ..], false) => Need::One(Scope::SessionsEnd),
        // Who one is and which version answers: clients ask before everything else.
        (["core", "users", "me"] | ["admin", "version"] | ["events", "events", "actions"], true) => Need::Nothing,
        (["core", "users" | "groups", ..] | ["authenticators", ..], true) => Need::One(Scope::UsersRead),
        (["core", "users", "service_account"], false) | (["core", "tokens", .., "view_key"], _) => Need::All,
        (
            ["core", "users" | "groups"] | ["core", "users" | "groups", _] | ["core", "groups", _, "add_user" | "remove_user"],
            false,
        ) => Need::One(Scope::UsersWrite),
        (["core", "tokens", ..], true) => Need::One(Scope::TokensRead),
        (["events", "events", ..], true) => Need::One(Scope::EventsRead),
        (_, true) => Need::One(Scope::SystemRead),
        (_, false) => Need::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_more_rights_has_no_scope() {
        for (method, path, want) in [
            (Method::GET, "core/authenticated_sessions/", Need::One(Scope::SessionsRead)),
            (Method::HEAD, "core/ended_sessions/", Need::One(Scope::SessionsRead)),
            (Method::DELETE, "core/authenticated_sessions/x/", Need::One(Scope::SessionsEnd)),
            (Method::POST, "core/authenticated_sessions/revoke/", Need::One(Scope::SessionsEnd)),
            (Method::GET, "core/app_sessions/", Need::One(Scope::SessionsRead)),
            (Method::DELETE, "core/app_sessions/x/", Need::One(Scope::SessionsEnd)),
            (Method::GET, "core/applications/", Need::One(Scope::SystemRead)),
            (Method::POST, "policies/bindings/", Need::All),
            (Method::GET, "core/users/me/", Need::Nothing),
            (Method::GET, "core/users/7/", Need::One(Scope::UsersRead)),
            (Method::GET, "authenticators/admin/all/", Need::One(Scope::UsersRead)),
            (Method::PATCH, "core/users/7/", Need::One(Scope::UsersWrite)),
            (Method::POST, "core/groups/", Need::One(Scope::UsersWrite)),
            (Method::POST, "core/groups/x/add_user/", Need::One(Scope::UsersWrite)),
            (Method::POST, "core/users/7/set_password/", Need::All),
            (Method::POST, "core/users/7/recovery/", Need::All),
            (Method::POST, "core/users/service_account/", Need::All),
            (Method::GET, "core/tokens/", Need::One(Scope::TokensRead)),
            (Method::GET, "core/tokens/a/view_key/", Need::All),
            (Method::POST, "core/tokens/", Need::All),
            (Method::POST, "core/tokens/a/set_key/", Need::All),
            (Method::DELETE, "core/tokens/a/", Need::All),
            (Method::GET, "events/events/stats/", Need::One(Scope::EventsRead)),
            (Method::GET, "admin/system/", Need::One(Scope::SystemRead)),
            (Method::PATCH, "stages/user_login/x/", Need::All),
        ] {
            assert_eq!(needed(&method, &format!("/api/v3/{path}")), want, "{method} {path}");
        }
        assert_eq!(needed(&Method::GET, "/elsewhere/"), Need::One(Scope::SystemRead));
    }
}

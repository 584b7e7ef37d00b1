//! `/api/v3/core/authenticated_sessions/bulk_delete/`: ends all sessions of many users.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::{Map, json};

use crate::actions::app::App;
use crate::actions::sessions::end;
use crate::api::core::authenticated_sessions::collection_permission;
use crate::api::core::wire::BulkDeleteSessionResponse;
use crate::api::django;
use crate::api::django::Int;
use crate::api::endpoint::{Answer, Call, Endpoint, NO_INTEGER, REQUIRED, ok};
use crate::api::error::{ApiError, FieldErrors};
use crate::api::list::refuse_unknown;
use crate::http::query::Query;

/// The address.
pub fn address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Bulk delete", "Bulk revoke all sessions for multiple users");
    endpoint.needs(collection_permission).on(Method::DELETE, bulk_delete).route()
}

/// Ends all sessions of these users.
#[utoipa::path(
    delete, path = "/api/v3/core/authenticated_sessions/bulk_delete/",
    operation_id = "core_authenticated_sessions_bulk_delete_destroy", tag = "core",
    params(("user_pks" = Vec<i64>, Query, explode, description = "Primary keys of users.")),
    responses((status = 200, body = BulkDeleteSessionResponse, description = "How many sessions ended."))
)]
pub(crate) async fn bulk_delete(app: App, call: Call) -> Answer {
    let users = read_user_pks(&call.query, app.config.api.strict_query)?;
    let deleted = end::end_of_users(&app, &call.who, users.into_iter().collect(), &call.actor).await?;
    Ok(ok(&BulkDeleteSessionResponse { deleted }))
}

/// Reads `user_pks`, repeated, or `user_pks[0]` and so on, as Django REST Framework reads a list of
/// integers from a form. Numbers that no key can be count for nothing.
fn read_user_pks(query: &Query, is_strict: bool) -> Result<BTreeSet<i64>, ApiError> {
    const NAME: &str = "user_pks";
    let mut items: Vec<Option<&str>> = query.all(NAME).map(Some).collect();
    if items.is_empty() {
        // The last of each index counts, in the order of the indexes; more after the bracket is an object.
        let mut indexed = BTreeMap::new();
        for (name, value) in query.pairs() {
            let Some((index, rest)) = name.strip_prefix("user_pks[").and_then(|rest| rest.split_once(']')) else { continue };
            if index.bytes().all(|byte| byte.is_ascii_digit())
                && let Ok(index) = index.parse::<u64>()
            {
                indexed.insert(index, rest.is_empty().then_some(value));
            }
        }
        items = indexed.into_values().collect();
    }
    if items.is_empty() {
        return Err(ApiError::parameter(NAME, REQUIRED));
    }
    let mut errors = Map::new();
    let mut users = BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        match item.map_or(Err(NO_INTEGER), read_integer) {
            Ok(Int::Fits(id)) => drop(users.insert(id)),
            Ok(Int::TooLarge | Int::TooSmall) => {}
            Err(why) => drop(errors.insert(index.to_string(), json!([why]))),
        }
    }
    if !errors.is_empty() {
        let mut named = FieldErrors::default();
        named.set(NAME, errors.into());
        return Err(ApiError::Parameters(named));
    }
    if is_strict {
        let mut errors = FieldErrors::default();
        let is_known = |name: &str| matches!(name, NAME | "format") || name.starts_with("user_pks[");
        refuse_unknown(query, is_known, &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::Parameters(errors));
        }
    }
    Ok(users)
}

/// An item as Django REST Framework's `IntegerField` reads it: `6.0` is 6.
fn read_integer(text: &str) -> Result<Int, &'static str> {
    if text.chars().count() > 1000 {
        return Err("String value too large.");
    }
    let trimmed = text.trim_end_matches(django::is_space);
    let whole = trimmed.trim_end_matches('0').strip_suffix('.').unwrap_or(text);
    django::int(whole).ok_or(NO_INTEGER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Vec<i64>, String> {
        read_user_pks(&Query::parse(query), false).map(|set| set.into_iter().collect()).map_err(|error| match error {
            ApiError::Parameters(errors) => json!(errors).to_string(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn user_pks_as_django_rest_framework_reads_them() {
        assert_eq!(read("user_pks=2&user_pks=6.0&user_pks=2"), Ok(vec![2, 6]));
        assert_eq!(read("user_pks=%20%2B1_0.00%20&user_pks=-5"), Ok(vec![-5, 10]));
        assert_eq!(read("user_pks=99999999999999999999"), Ok(vec![]));
        assert_eq!(read("user_pks=10&user_pks=100&user_pks=7."), Ok(vec![7, 10, 100]));
        assert_eq!(read("user_pks[1]=3&user_pks[0]=4&user_pks[1]=5"), Ok(vec![4, 5]));
        let no_integer = |index: &str| Err(format!("{{\"user_pks\":{{\"{index}\":[\"A valid integer is required.\"]}}}}"));
        assert_eq!(read("user_pks="), no_integer("0"));
        assert_eq!(read("user_pks=2,3"), no_integer("0"));
        assert_eq!(read("user_pks=2&user_pks=x"), no_integer("1"));
        assert_eq!(read("user_pks=1.5"), no_integer("0"));
        assert_eq!(read("user_pks=."), no_integer("0"));
        assert_eq!(read("user_pks[0]x=1"), no_integer("0"));
        assert_eq!(read("user_pks_=1"), Err("{\"user_pks\":[\"This field is required.\"]}".into()));
        let long = format!("user_pks={}", "1".repeat(1001));
        assert_eq!(read(&long), Err("{\"user_pks\":{\"0\":[\"String value too large.\"]}}".into()));
    }
}

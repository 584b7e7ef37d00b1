//! What requests may say, for the schema alone: `session_filter` and `session_revoke` read it by name
//! (`docs/compat.md` 8 to 11).

use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

/// The query parameters that both lists have, of sessions and of ended sessions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, non_snake_case, reason = "read by name in session_filter; this describes them")]
pub struct ListParameters {
    /// A page's number from 1, or `last`.
    page: Option<String>,
    /// Rows a page: 20 by default, at most 100.
    page_size: Option<i64>,
    /// Terms, each of which must be part of the username, the address or the user agent.
    search: Option<String>,
    /// The last address, in any notation.
    session__last_ip: Option<String>,
    /// The last user agent, exactly.
    session__last_user_agent: Option<String>,
    /// The username, exactly; of an ended session the name its user had.
    user__username: Option<String>,
    /// The user's primary key.
    user: Option<i64>,
    /// Last used at this instant or later.
    #[param(format = DateTime)]
    last_used__gte: Option<String>,
    /// Last used at this instant or earlier.
    #[param(format = DateTime)]
    last_used__lte: Option<String>,
    /// Expires, or would have expired, at this instant or later.
    #[param(format = DateTime)]
    expires__gte: Option<String>,
    /// Expires, or would have expired, at this instant or earlier.
    #[param(format = DateTime)]
    expires__lte: Option<String>,
    /// ISO country code of the last address.
    country: Option<String>,
    /// Autonomous system number of the last address.
    asn: Option<i64>,
    /// Network of the last address, in CIDR notation.
    network: Option<String>,
    /// Browser family, exactly.
    browser: Option<String>,
    /// System family, exactly.
    os: Option<String>,
    /// Device family, exactly.
    device: Option<String>,
    /// All but the session of this `uuid`.
    #[param(format = Uuid)]
    except: Option<String>,
}

/// What the list of sessions has beside them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by name in session_filter; this describes them")]
pub struct SessionListParameters {
    /// Names separated by commas, each with an optional `-`: `uuid`, `user`, `username`,
    /// `session__last_ip`, `session__last_user_agent`, `session__last_used`, `session__expires`, or
    /// their short forms, `created`, `country`. Without any that is known: by username. Equal rows
    /// come by `uuid`.
    ordering: Option<String>,
}

/// What the list of ended sessions has beside them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, non_snake_case, reason = "read by name in session_filter; this describes them")]
pub struct EndedListParameters {
    /// As in the list of sessions, and `ended`. Without any that is known: `-ended`.
    ordering: Option<String>,
    /// Ended at this instant or later.
    #[param(format = DateTime)]
    ended__gte: Option<String>,
    /// Ended at this instant or earlier.
    #[param(format = DateTime)]
    ended__lte: Option<String>,
    /// Who ended it, exactly.
    ended_by: Option<String>,
    /// Why, as the rows say it.
    reason: Option<String>,
}

/// Which sessions to end: the list's filters, all of which apply together, and how many there are.
#[derive(ToSchema)]
#[schema(as = RevokeSessionsRequest)]
#[expect(dead_code, non_snake_case, reason = "read by name in session_revoke; this describes them")]
pub struct RevokeSessionsRequest {
    /// How many sessions the list with these filters showed. A number that differs by more than one in
    /// a hundred is refused.
    #[schema(required, minimum = 0)]
    expected_count: u64,
    /// Must be true when there is no filter: all sessions that the caller may end.
    everyone: Option<bool>,
    /// Keep the session of the request's own cookie.
    except_current: Option<bool>,
    /// Why, in your words, for events and ended sessions.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// As in the list.
    search: Option<String>,
    /// As in the list.
    session__last_ip: Option<String>,
    /// As in the list.
    session__last_user_agent: Option<String>,
    /// As in the list.
    user__username: Option<String>,
    /// The user's primary key.
    #[schema(schema_with = number)]
    user: Option<i64>,
    /// As in the list.
    #[schema(format = DateTime)]
    last_used__gte: Option<String>,
    /// As in the list.
    #[schema(format = DateTime)]
    last_used__lte: Option<String>,
    /// As in the list.
    #[schema(format = DateTime)]
    expires__gte: Option<String>,
    /// As in the list.
    #[schema(format = DateTime)]
    expires__lte: Option<String>,
    /// As in the list.
    country: Option<String>,
    /// As in the list.
    #[schema(schema_with = number)]
    asn: Option<i64>,
    /// As in the list.
    network: Option<String>,
    /// As in the list.
    browser: Option<String>,
    /// As in the list.
    os: Option<String>,
    /// As in the list.
    device: Option<String>,
    /// As in the list. By itself it is no filter.
    #[schema(format = Uuid)]
    except: Option<String>,
}

/// A whole number, written as one or as text; null is none.
fn number() -> Schema {
    ObjectBuilder::new().schema_type(SchemaType::Array(vec![Type::Integer, Type::String, Type::Null])).into()
}

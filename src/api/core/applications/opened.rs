//! App sessions as the API shows them: of live sessions, and in the history.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::list::{Empty, Pagination};
use crate::domain::Timestamp;
use crate::domain::application::session::EndedAppSession;
use crate::store::applications::app_sessions::AppSessionRow;

/// An app session: what a session opened of one application.
#[derive(Serialize, ToSchema)]
pub struct SessionApplication {
    /// What names it.
    uuid: String,
    /// The application's slug when it began.
    slug: String,
    /// The application's name when it began.
    name: String,
    /// The guarded hosts that were opened.
    hosts: Vec<String>,
    /// The client that was opened; null: none.
    #[schema(required)]
    client_id: Option<String>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was last used.
    #[schema(value_type = String, format = DateTime)]
    last_used: Timestamp,
    /// For this number of seconds requests can still succeed after an end.
    ends_within: u64,
    /// The logout notice that is owed; always null so far.
    #[schema(required)]
    notice: Option<Value>,
    /// Its live tokens; always empty so far. Missing in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    tokens: Option<[Value; 0]>,
}

impl SessionApplication {
    /// One of a live session.
    #[must_use]
    pub fn live(row: &AppSessionRow) -> Self {
        Self {
            uuid: row.uuid.hyphenated().to_string(),
            slug: row.slug.clone(),
            name: row.name.clone(),
            hosts: row.hosts.clone(),
            client_id: row.client_id.clone(),
            created: row.created_at,
            last_used: row.last_used_at,
            ends_within: 0,
            notice: None,
            tokens: Some([]),
        }
    }

    /// One of an ended session.
    #[must_use]
    pub fn ended(ended: &EndedAppSession) -> Self {
        Self {
            uuid: ended.uuid.clone(),
            slug: ended.slug.clone(),
            name: ended.name.clone(),
            hosts: ended.hosts.clone(),
            client_id: ended.client_id.clone(),
            created: ended.created_at(),
            last_used: ended.last_used_at(),
            ends_within: 0,
            notice: None,
            tokens: None,
        }
    }
}

/// An app session in the list of all.
#[derive(Serialize, ToSchema)]
pub struct AppSession {
    /// The app session.
    #[serde(flatten)]
    pub opened: SessionApplication,
    /// Its session.
    pub session: String,
    /// The session's user, by primary key.
    pub user: i64,
    /// Their name.
    pub username: String,
}

/// A page of app sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedAppSessionList)]
pub struct AppSessionPage {
    /// The number of this page and of its neighbours.
    pub pagination: Pagination,
    /// The app sessions of this page.
    pub results: Vec<AppSession>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

//! App sessions as the API shows them: of live sessions, and in the history.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::list::{Empty, Pagination};
use crate::domain::Timestamp;
use crate::domain::application::session::{EndedAppSession, ends_within};
use crate::store::applications::app_sessions::AppSessionRow;
use crate::store::oidc::notices::NoticeRow;
use crate::store::oidc::opened::OpenedToken;

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
    /// For this number of seconds requests can still succeed after an end: what is left of the longest living JWT access token,
    /// which the app may check by itself. 0: an end takes effect at once. Of an ended session: from now on.
    ends_within: u64,
    /// What became of telling the app that it ended. Null: it goes on, the app is told nothing, or it is too long ago.
    #[schema(required)]
    notice: Option<NoticeOfEnd>,
    /// Its live tokens. Missing in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    tokens: Option<Vec<TokenOfApp>>,
}

/// Whether an app was told.
#[derive(Serialize, ToSchema)]
pub struct NoticeOfEnd {
    /// `waiting`, `sending`, `delivered`, `given_up` or `dropped`.
    state: &'static str,
    /// When it came to be there.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl NoticeOfEnd {
    fn new(row: &NoticeRow, now: Timestamp) -> Self {
        Self { state: row.state(now).as_str(), at: row.at() }
    }
}

/// A token of an app session, without its value.
#[derive(Serialize, ToSchema)]
pub struct TokenOfApp {
    /// `access` or `refresh`.
    kind: String,
    /// Its scopes, separated by blanks.
    scope: String,
    /// Until when it is good.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
}

impl TokenOfApp {
    fn new(token: &OpenedToken) -> Self {
        Self { kind: token.kind.clone(), scope: token.scope.clone(), expires: token.expires_at }
    }
}

impl SessionApplication {
    /// One of a live session.
    #[must_use]
    pub fn live(row: &AppSessionRow, tokens: &HashMap<i64, Vec<OpenedToken>>, now: Timestamp) -> Self {
        Self {
            uuid: row.uuid.hyphenated().to_string(),
            slug: row.slug.clone(),
            name: row.name.clone(),
            hosts: row.hosts.clone(),
            client_id: row.client_id.clone(),
            created: row.created_at,
            last_used: row.last_used_at,
            ends_within: ends_within(row.jwt_until, now),
            notice: None,
            tokens: Some(tokens.get(&row.id).into_iter().flatten().map(TokenOfApp::new).collect()),
        }
    }

    /// One of an ended session.
    #[must_use]
    pub fn ended(ended: &EndedAppSession, notices: &HashMap<Uuid, NoticeRow>, now: Timestamp) -> Self {
        let notice = Uuid::try_parse(&ended.uuid).ok().and_then(|uuid| notices.get(&uuid));
        Self {
            uuid: ended.uuid.clone(),
            slug: ended.slug.clone(),
            name: ended.name.clone(),
            hosts: ended.hosts.clone(),
            client_id: ended.client_id.clone(),
            created: ended.created_at(),
            last_used: ended.last_used_at(),
            ends_within: ended.ends_within(now),
            notice: notice.map(|row| NoticeOfEnd::new(row, now)),
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

//! App sessions: listing them, and ending one without its session.

use std::collections::HashMap;
use std::hash::BuildHasher;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::domain::application::session::{AppEndReason, EndedAppSession, ends_within};
use crate::domain::event::EventContent;
use crate::domain::{Timestamp, UserId};
use crate::store::applications::app_sessions::{AppSessionFilter, AppSessionRow};
use crate::store::oidc::notices::NoticeRow;
use crate::store::oidc::opened::OpenedToken;

/// Whose app sessions a caller may see: everybody's (`None`), or one user's.
#[must_use]
pub fn visible(by: By<'_>) -> Option<UserId> {
    match by {
        By::Principal(who, _) => who.visible(),
        By::Cli | By::System => None,
    }
}

/// An app session of a live session as an object, for exports and the command line, under the names of the API. `tokens` are
/// those of app sessions, by primary key.
#[must_use]
pub fn record<S: BuildHasher>(row: &AppSessionRow, tokens: &HashMap<i64, Vec<OpenedToken>, S>, now: Timestamp) -> Value {
    let token = |it: &OpenedToken| json!({"kind": it.kind, "scope": it.scope, "expires": it.expires_at});
    let tokens: Vec<Value> = tokens.get(&row.id).into_iter().flatten().map(token).collect();
    json!({
        "uuid": row.uuid.hyphenated().to_string(), "slug": row.slug, "name": row.name, "hosts": row.hosts, "client_id": row.client_id,
        "created": row.created_at, "last_used": row.last_used_at, "ends_within": ends_within(row.jwt_until, now), "tokens": tokens,
    })
}

/// The same of a session that ended, with what became of telling the app. `notices` are by the uuid of the app session.
#[must_use]
pub fn ended_record<S: BuildHasher>(ended: &EndedAppSession, notices: &HashMap<Uuid, NoticeRow, S>, now: Timestamp) -> Value {
    let notice = Uuid::try_parse(&ended.uuid).ok().and_then(|uuid| notices.get(&uuid));
    let notice = notice.map(|row| json!({"state": row.state(now).as_str(), "at": row.at()}));
    json!({
        "uuid": ended.uuid, "slug": ended.slug, "name": ended.name, "hosts": ended.hosts, "client_id": ended.client_id,
        "created": ended.created_at(), "last_used": ended.last_used_at(), "ends_within": ended.ends_within(now), "notice": notice,
    })
}

/// App sessions of live sessions that the caller may see: those after the first `skip`, at most `limit`, in the order of
/// [`Db::list_app_sessions`](crate::store::Db::list_app_sessions); and how many there are.
///
/// # Errors
/// When the database does not answer.
pub async fn list(
    app: &App,
    by: By<'_>,
    filter: AppSessionFilter,
    skip: i64,
    limit: i64,
) -> Result<(i64, Vec<AppSessionRow>), ActionError> {
    let filter = AppSessionFilter { visible_to: visible(by), ..filter };
    let db = app.store.read();
    Ok((db.count_app_sessions(&filter).await?, db.list_app_sessions(&filter, skip, limit).await?))
}

/// Ends an app session: its session goes on, and must open the application anew.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or the caller may not see it; [`ActionError::Forbidden`] when they may
/// not end it.
pub async fn end(app: &App, by: By<'_>, uuid: Uuid) -> Result<(), ActionError> {
    let filter = AppSessionFilter { uuid: Some(uuid), visible_to: visible(by), ..AppSessionFilter::default() };
    let row = app.store.read().list_app_sessions(&filter, 0, 1).await?.pop().ok_or(ActionError::NotFound)?;
    if let By::Principal(who, _) = by
        && !who.may_end(row.user_id)
    {
        return Err(ActionError::Forbidden);
    }
    let (actor, now) = (by.actor(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.end_app_sessions(&[row.id], now).await?;
                let content = EventContent::AppSessionEnded { application: row.slug, reason: AppEndReason::Revoked, count: 1 };
                let event = content.by(&actor, now).about(row.user_id, &row.username).of_session(row.session);
                Ok(db.insert_events(&[event]).await?)
            })
        })
        .await
}

//! Writes down what ended at a source: the row of the copy moves to the history, an end that somebody asked for is settled,
//! and its event is written, all in one transaction.

use std::collections::HashMap;

use crate::domain::event::EventContent;
use crate::domain::source::AskedState;
use crate::domain::{EndReason, SessionId, Timestamp, UserKey};
use crate::store::events::rows::NewEvent;
use crate::store::sessions::history::End;
use crate::store::watch::asked::AskedEnd;
use crate::store::watch::sessions::WatchedRow;
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, StoreError};

/// Ends these sessions of the copy, inside a transaction, and gives how many there were. Each has a reason that holds unless
/// somebody asked for its end. Nothing ends by the word of another instance than the one that the copy is of by now.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn end_in(
    db: &Db<'_>,
    source: &SourceRow,
    gone: &[(SessionId, EndReason)],
    now: Timestamp,
) -> Result<usize, StoreError> {
    if !db.lock_source(source).await? {
        return Ok(0);
    }
    let uuids: Vec<SessionId> = gone.iter().map(|(uuid, _)| *uuid).collect();
    let asked: HashMap<SessionId, AskedEnd> =
        db.list_open_ends_of(source.id, &uuids).await?.into_iter().map(|asked| (asked.uuid, asked)).collect();
    let ends: Vec<(SessionId, End)> = gone
        .iter()
        .map(|(uuid, reason)| (*uuid, asked.get(uuid).map_or_else(|| by_source(source, *reason, now), |asked| asked.end(now))))
        .collect();
    let rows = db.end_watched(source, &ends).await?;
    let mut events = Vec::new();
    for row in &rows {
        if let Some(asked) = asked.get(&row.session.uuid) {
            let content = EventContent::SourceSessionEnded { source: source.name.clone(), comment: asked.comment.clone() };
            events.push(event(content, source, row, asked, now));
        }
    }
    for asked in asked.values() {
        db.settle_asked_end(asked.id, AskedState::Ended, "", now).await?;
    }
    db.insert_events(&events).await?;
    Ok(rows.len())
}

/// An end of which nobody here knows more.
fn by_source(source: &SourceRow, reason: EndReason, at: Timestamp) -> End {
    End { at, by: None, by_name: source.name.clone(), reason, comment: String::new() }
}

/// Writes that a session was still there after somebody asked for its end, inside a transaction.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn still_there_in(
    db: &Db<'_>,
    source: &SourceRow,
    asked: &AskedEnd,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    db.lock_source(source).await?;
    if !db.settle_asked_end(asked.id, AskedState::StillThere, why, now).await? {
        return Ok(());
    }
    let rows = db.list_watched(source.id, &[asked.uuid]).await?;
    let content = || EventContent::SourceEndFailed { source: source.name.clone(), why: why.to_owned() };
    let events: Vec<NewEvent> = rows.iter().map(|row| event(content(), source, row, asked, now)).collect();
    db.insert_events(&events).await
}

/// An event about a session of a source, by the person who asked for its end.
fn event(content: EventContent, source: &SourceRow, row: &WatchedRow, asked: &AskedEnd, at: Timestamp) -> NewEvent {
    NewEvent {
        at,
        content,
        actor: asked.actor_uuid.map(UserKey::Uuid),
        actor_name: asked.actor.clone(),
        user: Some(UserKey::Uuid(source.user_uuid(row.session.user_pk))),
        username: row.shown_name(),
        ip: asked.ip.clone(),
        request_id: asked.request_id.clone(),
        session: Some(row.session.uuid),
        parent: asked.event,
        application: String::new(),
    }
}

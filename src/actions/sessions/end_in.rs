//! Ends of sessions inside a transaction, with their events.

use crate::actions::events::EventKind;
use crate::domain::caller::Actor;
use crate::domain::{EndReason, Timestamp, UserId};
use crate::store::events::rows::EventRow;
use crate::store::sessions::end::{GoneSession, Which};
use crate::store::sessions::history::Ending;
use crate::store::{Db, StoreError};

/// How many sessions one transaction ends, so that other writers wait briefly: a sign-in writes three
/// times, and may find one under way each time.
pub(in crate::actions) const CHUNK: i64 = 100;

/// Ends sessions inside a transaction, with their events.
pub(in crate::actions) async fn end_in(
    db: &Db<'_>,
    which: &Which,
    limit: i64,
    reason: EndReason,
    actor: &Actor,
    at: Timestamp,
) -> Result<Vec<GoneSession>, StoreError> {
    end_as(db, which, limit, &Ending::by(actor, at, reason), actor).await
}

/// The same, with all that is kept of the end.
pub(in crate::actions) async fn end_as(
    db: &Db<'_>,
    which: &Which,
    limit: i64,
    ending: &Ending,
    actor: &Actor,
) -> Result<Vec<GoneSession>, StoreError> {
    let gone = db.end_sessions(which, limit, ending).await?;
    note_ends(db, &gone, ending, actor).await?;
    Ok(gone)
}

/// Writes the events of sessions that ended.
pub(in crate::actions) async fn note_ends(
    db: &Db<'_>,
    gone: &[GoneSession],
    ending: &Ending,
    actor: &Actor,
) -> Result<(), StoreError> {
    db.insert_events(&events_of(gone, ending, actor)).await
}

pub(in crate::actions) fn events_of(gone: &[GoneSession], ending: &Ending, actor: &Actor) -> Vec<EventRow> {
    let kind = match ending.reason {
        EndReason::SignedOut => EventKind::SignOut,
        EndReason::Expired => EventKind::SessionExpired,
        _ => EventKind::SessionRevoked,
    };
    let mut detail = ending.reason.as_str().to_owned();
    if !ending.comment.is_empty() {
        detail = format!("{detail}: {}", ending.comment);
    }
    gone.iter()
        .map(|session| {
            let event = kind.by(actor, ending.at).about(session.user_id, &session.username);
            event.of_session(session.uuid).with_detail(detail.as_str())
        })
        .collect()
}

impl Ending {
    /// An end by `actor` at `at`.
    #[must_use]
    pub fn by(actor: &Actor, at: Timestamp, reason: EndReason) -> Self {
        Self { at, by: actor.id.map(|id| id.0), by_name: actor.name.clone(), reason, comment: String::new() }
    }
}

/// Ends all sessions of a user inside a transaction.
pub(in crate::actions) async fn end_all_of_user(
    db: &Db<'_>,
    user: UserId,
    reason: EndReason,
    actor: &Actor,
    at: Timestamp,
) -> Result<(), StoreError> {
    end_all_in(db, &Which::Users(vec![user.0]), reason, actor, at).await
}

/// Ends everything `which` names inside a transaction.
pub(in crate::actions) async fn end_all_in(
    db: &Db<'_>,
    which: &Which,
    reason: EndReason,
    actor: &Actor,
    at: Timestamp,
) -> Result<(), StoreError> {
    while !end_in(db, which, CHUNK, reason, actor, at).await?.is_empty() {}
    Ok(())
}

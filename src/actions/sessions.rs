//! The door, and every way a session ends.

use futures_util::future::try_join_all;

use super::events::EventKind;
use super::many_ends::{CHUNK, ManyEnds};
use super::principal::Principal;
use super::sign_in::Client;
use super::{ActionError, Actor, binding};
use crate::app::App;
use crate::domain::binding::MoveAction;
use crate::domain::session::check_label;
use crate::domain::{EndReason, PlainSecret, SessionId, Timestamp, UserId};
use crate::store::ended_sessions::Ending;
use crate::store::events::EventRow;
use crate::store::session_details::SessionDetailRow;
use crate::store::session_ends::{GoneSession, Which};
use crate::store::sessions::{LiveSession, SessionRow};
use crate::store::{Db, StoreError};

/// What a session key opens.
#[derive(Debug)]
pub enum Admission {
    /// Nothing.
    None,
    /// A session.
    Open(LiveSession),
    /// A session that is used from elsewhere than its user proved who they are: nothing but another
    /// proof is let through.
    Unproved(LiveSession),
    /// Nothing any more: the session ended, since it is used from elsewhere.
    Moved,
}

/// Lets the holder of a session key in, or not, and notes the use. Every request with a cookie
/// passes here; nothing is cached, so an ended session is out from the next request.
///
/// # Errors
/// When the database does not answer: then nobody is let in.
pub async fn check(app: &App, key: &PlainSecret, client: &Client, request_id: &str) -> Result<Admission, StoreError> {
    let key = key.hash();
    let Some(session) = app.store.read().find_live_session(key, app.clock.now()).await? else { return Ok(Admission::None) };
    if session.proved_ip != Some(client.ip) && app.config.sessions.bindings.is_any() {
        match binding::judge(app, &session, client, request_id).await? {
            Some(moved) if moved.action == MoveAction::End => {
                binding::end(app, key, moved, client, request_id).await?;
                return Ok(Admission::Moved);
            }
            Some(moved) if moved.action == MoveAction::Confirm => return Ok(Admission::Unproved(session)),
            _ => {}
        }
    }
    app.touches.note(app, &session, client.ip, &client.user_agent);
    Ok(Admission::Open(session))
}

/// A session the caller may see.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or the caller may not know of it.
pub async fn find(app: &App, who: &Principal, id: SessionId) -> Result<SessionRow, ActionError> {
    let session = app.store.read().find_session(id).await?;
    session.filter(|session| who.may_see(session.user_id)).ok_or(ActionError::NotFound)
}

/// A session with all that is known of it, and its user's name; `None` when there is none, or the
/// caller may not know of it.
///
/// # Errors
/// When the database does not answer.
pub async fn find_details(app: &App, who: &Principal, id: SessionId) -> Result<Option<(SessionDetailRow, String)>, StoreError> {
    let db = app.store.read();
    let details = db.list_session_details(&[id]).await?;
    let Some(detail) = details.into_iter().next().filter(|it| who.may_see(it.row.user_id)) else { return Ok(None) };
    let names = db.list_usernames(&[detail.row.user_id.0]).await?;
    Ok(Some((detail, names.into_iter().next().map(|(_, name)| name).unwrap_or_default())))
}

/// Names a session: its owner alone may.
///
/// # Errors
/// [`ActionError::Label`], [`ActionError::NotFound`], and [`ActionError::Forbidden`] when it is
/// somebody else's.
pub async fn rename(app: &App, who: &Principal, id: SessionId, label: &str, actor: &Actor) -> Result<(), ActionError> {
    let label = check_label(label)?.to_owned();
    let session = find(app, who, id).await?;
    if session.user_id != who.user_id {
        return Err(ActionError::Forbidden);
    }
    let event = EventKind::SessionNamed.by(actor, app.clock.now()).about(who.user_id, &who.username);
    let event = event.of_session(id).with_detail(label.clone());
    app.store
        .write(move |db| {
            Box::pin(async move {
                if !db.update_label(id, &label).await? {
                    return Err(ActionError::NotFound);
                }
                Ok(db.insert_events(&[event]).await?)
            })
        })
        .await
}

/// Ends one session: one's own, or anybody's for those who may see and end all.
///
/// # Errors
/// [`ActionError::NotFound`] as for [`find`]; [`ActionError::Forbidden`] when the caller may see it
/// and not end it.
pub async fn revoke(app: &App, who: &Principal, id: SessionId, actor: &Actor) -> Result<(), ActionError> {
    // Whoever may see and end them all is told by the end itself whether there was one.
    if !(who.rights.may_view_sessions && who.rights.may_delete_sessions) {
        let session = find(app, who, id).await?;
        if !who.may_end(session.user_id) {
            return Err(ActionError::Forbidden);
        }
    }
    if end_one(app, id, EndReason::Revoked, actor).await? { Ok(()) } else { Err(ActionError::NotFound) }
}

/// Ends all sessions of these users and gives how many there were.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller may end everybody's sessions.
pub async fn revoke_of_users(app: &App, who: &Principal, users: Vec<i64>, actor: &Actor) -> Result<u64, ActionError> {
    if !who.rights.may_delete_sessions {
        return Err(ActionError::Forbidden);
    }
    let count = app.store.read().count_sessions_of_users(&users).await?;
    let part = users.len().div_ceil(app.store.writers()).max(1);
    let ended = users.chunks(part).map(|users| end_of_users(app, users, count, actor));
    Ok(try_join_all(ended).await?.into_iter().sum())
}

/// Ends the sessions of these users, as one of so many sessions in all.
async fn end_of_users(app: &App, users: &[i64], count: u64, actor: &Actor) -> Result<u64, StoreError> {
    let mut ends = ManyEnds::of(count, app, EndReason::Revoked, "", actor);
    let mut users = users;
    while !users.is_empty() {
        let (now, later) = users.split_at(ends.users_at_once().min(users.len()));
        ends.end(Which::Users(now.to_vec())).await?;
        users = later;
    }
    Ok(ends.ended)
}

/// Ends all of one's own sessions but the one this request came with.
///
/// # Errors
/// When the database cannot be written.
pub async fn revoke_others(app: &App, current: &LiveSession, actor: &Actor) -> Result<u64, ActionError> {
    end_all(app, Which::UserExcept(current.user_id, current.uuid), EndReason::Revoked, actor).await
}

/// Ends the session that a key opens: its owner signs out. A key that opens nothing is no error.
///
/// # Errors
/// When the database cannot be written.
pub async fn sign_out(app: &App, key: &PlainSecret, actor: &Actor) -> Result<(), ActionError> {
    let Some(session) = app.store.read().find_live_session(key.hash(), app.clock.now()).await? else {
        return Ok(());
    };
    let actor = actor.as_user(session.user_id, &session.username);
    end_one(app, session.uuid, EndReason::SignedOut, &actor).await?;
    Ok(())
}

/// Ends the sessions named one by one, whoever's they are: for the command line, whose user holds
/// the database itself. Gives how many there were.
///
/// # Errors
/// When the database cannot be written.
pub async fn revoke_listed(app: &App, ids: &[SessionId], comment: &str, actor: &Actor) -> Result<u64, StoreError> {
    let mut ends = ManyEnds::of(ids.len() as u64, app, EndReason::Revoked, comment, actor);
    let mut ids = ids;
    while !ids.is_empty() {
        let (now, later) = ids.split_at(ends.chunk().min(ids.len()));
        ends.end(Which::Uuids(now.to_vec())).await?;
        ids = later;
    }
    Ok(ends.ended)
}

/// Ends the sessions whose time was over at `now`, and gives how many there were.
///
/// # Errors
/// When the database cannot be written.
pub async fn sweep(app: &App, now: Timestamp) -> Result<u64, ActionError> {
    end_all(app, Which::ExpiredAt(now), EndReason::Expired, &Actor::system()).await
}

/// Ends everything `which` names, chunk after chunk.
async fn end_all(app: &App, which: Which, reason: EndReason, actor: &Actor) -> Result<u64, ActionError> {
    let mut ended = 0;
    loop {
        let (which, actor) = (which.clone(), actor.clone());
        let at = app.clock.now();
        let gone =
            app.store.write_much(move |db| Box::pin(async move { end_in(db, &which, CHUNK, reason, &actor, at).await })).await?;
        ended += u64::try_from(gone.len()).unwrap_or(u64::MAX);
        // A short chunk does not mean the last one: another end may have taken some of the same rows.
        if gone.is_empty() {
            return Ok(ended);
        }
    }
}

/// Ends the session of that name; gives whether there was one.
async fn end_one(app: &App, id: SessionId, reason: EndReason, actor: &Actor) -> Result<bool, StoreError> {
    let (actor, ending) = (actor.clone(), Ending::by(actor, app.clock.now(), reason));
    app.store
        .write(move |db| {
            Box::pin(async move {
                let gone = db.end_one(id, &ending).await?;
                db.insert_events_last(&events_of(gone.as_slice(), &ending, &actor));
                Ok(gone.is_some())
            })
        })
        .await
}

/// Ends sessions inside a transaction, with their events.
pub(super) async fn end_in(
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
pub(super) async fn end_as(
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
pub(super) async fn note_ends(db: &Db<'_>, gone: &[GoneSession], ending: &Ending, actor: &Actor) -> Result<(), StoreError> {
    db.insert_events(&events_of(gone, ending, actor)).await
}

fn events_of(gone: &[GoneSession], ending: &Ending, actor: &Actor) -> Vec<EventRow> {
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
pub(super) async fn end_all_of_user(
    db: &Db<'_>,
    user: UserId,
    reason: EndReason,
    actor: &Actor,
    at: Timestamp,
) -> Result<(), StoreError> {
    end_all_in(db, &Which::Users(vec![user.0]), reason, actor, at).await
}

/// Ends everything `which` names inside a transaction.
pub(super) async fn end_all_in(
    db: &Db<'_>,
    which: &Which,
    reason: EndReason,
    actor: &Actor,
    at: Timestamp,
) -> Result<(), StoreError> {
    while !end_in(db, which, CHUNK, reason, actor, at).await?.is_empty() {}
    Ok(())
}

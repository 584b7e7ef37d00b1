//! The door, and every way a session ends.

use futures_util::future::try_join_all;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::actions::sessions::bulk_end::ManyEnds;
use crate::actions::sessions::end_in::{CHUNK, end_in, events_of};
use crate::actions::sessions::look;
use crate::domain::caller::Actor;
use crate::domain::{EndReason, PlainSecret, SessionId, Timestamp};
use crate::store::StoreError;
use crate::store::sessions::end::Which;
use crate::store::sessions::history::Ending;
use crate::store::sessions::rows::LiveSession;

/// Ends one session: one's own, or anybody's for those who may see and end all.
///
/// # Errors
/// [`ActionError::NotFound`] as for [`find`]; [`ActionError::Forbidden`] when the caller may see it
/// and not end it.
pub async fn revoke(app: &App, who: &Principal, id: SessionId, actor: &Actor) -> Result<(), ActionError> {
    // Whoever may see and end them all is told by the end itself whether there was one.
    if !(who.rights.may_view_sessions && who.rights.may_delete_sessions) {
        let session = look::find(app, who, id).await?;
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

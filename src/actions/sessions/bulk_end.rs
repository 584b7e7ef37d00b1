//! Ends of many sessions in one call. Up to a thousand end as single ones do, with all that is kept of
//! them. More are revoked: nothing finds them from then on, and they join the ended sessions, and the
//! events, when a job moves them, within seconds or a minute of a very large end.

use std::time::{Duration, Instant};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sessions::end_in::{CHUNK, end_as, note_ends};
use crate::domain::caller::Actor;
use crate::domain::{Address, EndReason, UserId};
use crate::store::sessions::end::{MatchingEnd, Which};
use crate::store::sessions::history::Ending;
use crate::store::sessions::pending_end::{Moved, Revocation};
use crate::store::{Db, StoreError};

/// How many sessions one transaction moves: nobody waits for that, and it goes on for long.
const MOVED: i64 = 25;
/// How many sessions one call may end as single ones do.
const AT_ONCE: u64 = 1000;
/// How many sessions one transaction revokes: about as long as a chunk takes.
const REVOKED: i64 = 1000;
/// About how many sessions a user has: so many users' are looked up at a time that they mostly fit a chunk.
const PER_USER: i64 = 5;

/// The end of many sessions, in the course of one call.
pub(in crate::actions) struct ManyEnds<'a> {
    app: &'a App,
    reason: EndReason,
    comment: &'a str,
    actor: &'a Actor,
    /// Whether they end as single ones do.
    is_direct: bool,
    /// How many have ended.
    pub ended: u64,
}

impl<'a> ManyEnds<'a> {
    /// Of about so many sessions; none so far.
    pub fn of(count: u64, app: &'a App, reason: EndReason, comment: &'a str, actor: &'a Actor) -> Self {
        Self { app, reason, comment, actor, is_direct: count <= AT_ONCE, ended: 0 }
    }

    /// How many sessions the next transaction takes on.
    pub fn chunk(&self) -> usize {
        usize::try_from(if self.is_direct { CHUNK } else { REVOKED }).unwrap_or(1)
    }

    /// Of how many users the next ones are looked up.
    pub fn users_at_once(&self) -> usize {
        self.chunk() / usize::try_from(PER_USER).unwrap_or(1)
    }

    fn ending(&self) -> Ending {
        Ending { comment: self.comment.to_owned(), ..Ending::by(self.actor, self.app.clock.now(), self.reason) }
    }

    fn revocation(&self) -> Revocation {
        let ip = self.actor.ip.map(|ip| ip.to_string()).unwrap_or_default();
        Revocation { ending: self.ending(), ip, request_id: self.actor.request_id.clone() }
    }

    /// Ends all that `which` names.
    ///
    /// # Errors
    /// When the database cannot be written; what ended until then stays so.
    pub async fn end(&mut self, which: Which) -> Result<(), StoreError> {
        loop {
            let which = which.clone();
            if self.is_direct {
                let (ending, actor) = (self.ending(), self.actor.clone());
                let gone =
                    self.app.store.write_much(move |db| Box::pin(async move { end_as(db, &which, CHUNK, &ending, &actor).await }));
                let gone = gone.await?.len();
                self.ended += number(gone);
                // A short chunk does not mean the last one: another end may have taken some of the same rows.
                if gone == 0 {
                    return Ok(());
                }
            } else {
                let revocation = self.revocation();
                let revoked = self
                    .app
                    .store
                    .write_much(move |db| Box::pin(async move { db.revoke_sessions(&which, REVOKED, &revocation).await }))
                    .await?;
                self.count(revoked.ended).await?;
                if number(revoked.found) < REVOKED.unsigned_abs() {
                    return Ok(());
                }
            }
        }
    }

    /// Ends those of these sessions that still match; at most [`ManyEnds::chunk`] of them.
    ///
    /// # Errors
    /// As for [`ManyEnds::end`].
    pub async fn end_matching(&mut self, ids: &[i64], end: MatchingEnd) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        let ended = if self.is_direct {
            let (ending, actor) = (self.ending(), self.actor.clone());
            let gone = self.app.store.write_much(move |db| {
                Box::pin(async move {
                    let gone = db.end_matching(&ids, &end, &ending).await?;
                    note_ends(db, &gone, &ending, &actor).await?;
                    Ok::<_, StoreError>(gone.len())
                })
            });
            gone.await?
        } else {
            let revocation = self.revocation();
            let revoked =
                self.app.store.write_much(move |db| Box::pin(async move { db.revoke_matching(&ids, &end, &revocation).await }));
            revoked.await?.ended
        };
        self.count(ended).await
    }

    /// Counts what ended, and tells the database of the first ones that were revoked.
    async fn count(&mut self, ended: usize) -> Result<(), StoreError> {
        let is_first = self.ended == 0 && ended > 0;
        self.ended += number(ended);
        if is_first && !self.is_direct {
            self.app.store.write(|db| Box::pin(async move { db.note_many_revoked().await })).await?;
        }
        Ok(())
    }
}

/// Moves revoked sessions to the ended ones until none waits or this time is over. Gives whether some may
/// wait still.
///
/// # Errors
/// When the database cannot be written; the next call goes on where this one stopped.
pub async fn move_some(app: &App, time: Duration) -> Result<bool, ActionError> {
    let began = Instant::now();
    while app.store.read().find_last_revocation().await?.is_some() {
        if began.elapsed() > time {
            return Ok(true);
        }
        app.store
            .write_much(|db| {
                Box::pin(async move {
                    let Some(moved) = db.move_revoked(MOVED).await? else { return Ok::<_, StoreError>(()) };
                    note_moved(db, moved).await
                })
            })
            .await?;
    }
    Ok(false)
}

/// Moves all revoked sessions, inside a transaction.
pub(in crate::actions) async fn move_all_in(db: &Db<'_>) -> Result<(), StoreError> {
    while let Some(moved) = db.move_revoked(REVOKED).await? {
        note_moved(db, moved).await?;
    }
    Ok(())
}

/// Moves a user's revoked sessions, inside a transaction.
pub(in crate::actions) async fn move_all_of_user(db: &Db<'_>, user: UserId) -> Result<(), StoreError> {
    while let Some(moved) = db.move_revoked_of(user, REVOKED).await? {
        note_moved(db, moved).await?;
    }
    Ok(())
}

/// Moves a user's revoked sessions, so that all that ended are where they belong.
///
/// # Errors
/// When the database cannot be written.
pub(in crate::actions) async fn settle_user(app: &App, user: UserId) -> Result<(), StoreError> {
    if !app.store.read().has_revoked_of(user).await? {
        return Ok(());
    }
    app.store.write_much(move |db| Box::pin(async move { move_all_of_user(db, user).await })).await
}

async fn note_moved(db: &Db<'_>, moved: Moved) -> Result<(), StoreError> {
    let Moved { sessions, revocation: Revocation { ending, ip, request_id } } = moved;
    let actor = Actor { id: ending.by.map(UserId), name: ending.by_name.clone(), ip: Address::parse(&ip), request_id };
    note_ends(db, &sessions, &ending, &actor).await
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

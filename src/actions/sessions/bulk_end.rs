//! Ends of many sessions in one call. Up to a thousand end as single ones do, with all that is kept of
//! them. Of more, the ends are recorded: nothing finds the sessions from then on, and a job moves them to the
//! history, with their events, within seconds or a minute of a very large end.

use std::time::{Duration, Instant};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sessions::end_in::{CHUNK, Fold, events_of};
use crate::domain::caller::Actor;
use crate::domain::event::FilterTerms;
use crate::domain::{Address, EndReason, UserId};
use crate::store::sessions::end::{MatchingEnd, Which};
use crate::store::sessions::history::End;
use crate::store::sessions::pending_end::{Moved, PendingEnd, Recorded};
use crate::store::{Db, StoreError};

/// How many sessions one transaction moves: small, since no request waits for the move, and it runs
/// for long.
const MOVED: i64 = 25;
/// How many sessions one call may end as single ones do.
const AT_ONCE: u64 = 1000;
/// How many ends one transaction records: about as long as a chunk takes.
const RECORDED: i64 = 1000;
/// An estimate of the sessions of a user: users are looked up in groups whose sessions mostly fit a
/// chunk.
const PER_USER: i64 = 5;

/// A request to end many sessions.
#[derive(Clone, Copy)]
pub(in crate::actions) struct Many<'a> {
    /// Which sessions, for events.
    pub filter: &'a FilterTerms,
    /// The expected number of sessions.
    pub expected: u64,
    /// Why.
    pub reason: EndReason,
    /// A comment for events and ended sessions, or `""`.
    pub comment: &'a str,
}

/// The progress of one call that ends many sessions.
pub(in crate::actions) struct ManyEnds<'a> {
    app: &'a App,
    reason: EndReason,
    comment: &'a str,
    actor: &'a Actor,
    /// Whether they are ended one by one, as single ends are.
    is_direct: bool,
    fold: Fold,
}

impl<'a> ManyEnds<'a> {
    /// Begins to end sessions. For more than a thousand, the event is written now, and
    /// [`ManyEnds::finish`] adds its totals.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin(app: &'a App, many: Many<'a>, actor: &'a Actor) -> Result<Self, StoreError> {
        let Many { filter, expected, reason, comment } = many;
        let is_direct = expected <= AT_ONCE;
        let mut ends = Self { app, reason, comment, actor, is_direct, fold: Fold::of(filter.clone()) };
        if !is_direct {
            ends.fold = begin_event(app, many, actor).await?;
        }
        Ok(ends)
    }

    /// Begins to end some of `expected` sessions. Their event is written already; `None` for a
    /// single session, which has no event of many.
    pub fn part(app: &'a App, many: Many<'a>, actor: &'a Actor, event: Option<i64>) -> Self {
        let Many { expected, reason, comment, .. } = many;
        Self { app, reason, comment, actor, is_direct: expected <= AT_ONCE, fold: Fold::part(event) }
    }

    /// How many have ended.
    pub fn ended(&self) -> u64 {
        self.fold.count()
    }

    /// The key of the event that the ends are parts of.
    pub fn event(&self) -> Option<i64> {
        self.fold.event()
    }

    /// The most sessions of the next transaction.
    pub fn chunk(&self) -> usize {
        usize::try_from(if self.is_direct { CHUNK } else { RECORDED }).unwrap_or(1)
    }

    /// The number of users of the next transaction.
    pub fn users_at_once(&self) -> usize {
        self.chunk() / usize::try_from(PER_USER).unwrap_or(1)
    }

    fn how(&self) -> End {
        how(self.app, self.reason, self.comment, self.actor)
    }

    fn pending(&self) -> PendingEnd {
        let ip = self.actor.ip.map(|ip| ip.to_string()).unwrap_or_default();
        PendingEnd { end: self.how(), ip, request_id: self.actor.request_id.clone(), event: self.fold.event() }
    }

    /// Ends all that `which` names.
    ///
    /// # Errors
    /// When the database cannot be written; the sessions that ended until then stay ended.
    pub async fn end(&mut self, which: Which) -> Result<(), StoreError> {
        loop {
            let which = which.clone();
            if self.is_direct {
                let (end, actor, mut fold) = (self.how(), self.actor.clone(), self.fold.clone());
                let before = fold.count();
                let ended = self.app.store.write_much(move |db| {
                    Box::pin(async move {
                        let gone = db.end_sessions(&which, CHUNK, &end).await?;
                        fold.note(db, &gone, &end, &actor).await?;
                        Ok::<_, StoreError>(fold)
                    })
                });
                self.fold = ended.await?;
                // A short chunk need not be the last one: another end may have taken some of the
                // same rows.
                if self.fold.count() == before {
                    return Ok(());
                }
            } else {
                let pending = self.pending();
                let recorded = self
                    .app
                    .store
                    .write_much(move |db| Box::pin(async move { db.record_ends(&which, RECORDED, &pending).await }))
                    .await?;
                let found = number(recorded.found);
                self.count(recorded).await?;
                if found < RECORDED.unsigned_abs() {
                    return Ok(());
                }
            }
        }
    }

    /// Ends those of these sessions that still match; at most [`ManyEnds::chunk`] of them.
    ///
    /// # Errors
    /// As for [`ManyEnds::end`].
    pub async fn end_matching(&mut self, ids: &[i64], matching: MatchingEnd) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        if self.is_direct {
            let (end, actor, mut fold) = (self.how(), self.actor.clone(), self.fold.clone());
            let ended = self.app.store.write_much(move |db| {
                Box::pin(async move {
                    let gone = db.end_matching(&ids, &matching, &end).await?;
                    fold.note(db, &gone, &end, &actor).await?;
                    Ok::<_, StoreError>(fold)
                })
            });
            self.fold = ended.await?;
            return Ok(());
        }
        let pending = self.pending();
        let recorded =
            self.app.store.write_much(move |db| Box::pin(async move { db.record_ends_matching(&ids, &matching, &pending).await }));
        let recorded = recorded.await?;
        self.count(recorded).await
    }

    /// Counts what ended, and announces the first pending ends to the database.
    async fn count(&mut self, recorded: Recorded) -> Result<(), StoreError> {
        let is_first = self.fold.count() == 0 && !recorded.users.is_empty();
        self.fold.add(recorded.users);
        if is_first {
            self.app.store.write(|db| Box::pin(async move { db.note_many_pending_ends().await })).await?;
        }
        Ok(())
    }

    /// Writes the totals, and gives how many ended.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn finish(self) -> Result<u64, StoreError> {
        let ended = self.ended();
        let (end, fold) = (self.how(), self.fold);
        finish_event(self.app, fold, end).await?;
        Ok(ended)
    }

    /// The totals, for a caller that wrote the event itself.
    pub fn into_fold(self) -> Fold {
        self.fold
    }
}

fn how(app: &App, reason: EndReason, comment: &str, actor: &Actor) -> End {
    End { comment: comment.to_owned(), ..End::by(actor, app.clock.now(), reason) }
}

/// Writes the event of an end of many before the first session ends.
///
/// # Errors
/// When the database cannot be written.
pub(in crate::actions) async fn begin_event(app: &App, many: Many<'_>, actor: &Actor) -> Result<Fold, StoreError> {
    let Many { filter, expected, reason, comment } = many;
    let (end, actor, mut fold) = (how(app, reason, comment, actor), actor.clone(), Fold::of(filter.clone()));
    app.store
        .write(move |db| {
            Box::pin(async move {
                fold.begin(db, expected, &end, &actor).await?;
                Ok(fold)
            })
        })
        .await
}

/// Writes the totals of the event of an end of many that was written before.
///
/// # Errors
/// When the database cannot be written.
pub(in crate::actions) async fn finish_event(app: &App, fold: Fold, end: End) -> Result<(), StoreError> {
    if !fold.is_begun() {
        return Ok(());
    }
    app.store.write(move |db| Box::pin(async move { fold.finish(db, &end).await })).await
}

/// Moves sessions with a pending end to the history, until none is left or this time is over.
/// Returns whether some may be left.
///
/// # Errors
/// When the database cannot be written; the next call goes on where this one stopped.
pub async fn move_some(app: &App, time: Duration) -> Result<bool, ActionError> {
    let began = Instant::now();
    while app.store.read().find_last_pending_end().await?.is_some() {
        if began.elapsed() > time {
            return Ok(true);
        }
        app.store
            .write_much(|db| {
                Box::pin(async move {
                    let Some(moved) = db.move_pending_ends(MOVED).await? else { return Ok::<_, StoreError>(()) };
                    note_moved(db, moved).await
                })
            })
            .await?;
    }
    Ok(false)
}

/// Moves all sessions with a pending end, inside a transaction.
pub(in crate::actions) async fn move_all_in(db: &Db<'_>) -> Result<(), StoreError> {
    while let Some(moved) = db.move_pending_ends(RECORDED).await? {
        note_moved(db, moved).await?;
    }
    Ok(())
}

/// Moves a user's sessions with a pending end, inside a transaction.
pub(in crate::actions) async fn move_all_of_user(db: &Db<'_>, user: UserId) -> Result<(), StoreError> {
    while let Some(moved) = db.move_pending_ends_of(user, RECORDED).await? {
        note_moved(db, moved).await?;
    }
    Ok(())
}

/// Moves a user's sessions with a pending end, so that all that ended are in the history.
///
/// # Errors
/// When the database cannot be written.
pub(in crate::actions) async fn settle_user(app: &App, user: UserId) -> Result<(), StoreError> {
    if !app.store.read().has_pending_ends_of(user).await? {
        return Ok(());
    }
    app.store.write_much(move |db| Box::pin(async move { move_all_of_user(db, user).await })).await
}

async fn note_moved(db: &Db<'_>, moved: Moved) -> Result<(), StoreError> {
    let Moved { sessions, pending: PendingEnd { end, ip, request_id, event } } = moved;
    let actor = Actor { id: None, name: end.by_name.clone(), ip: Address::parse(&ip), request_id };
    db.insert_events(&events_of(&sessions, &end, &actor, event)).await
}

/// Ends all sessions inside a transaction: what an import that replaces does first.
pub(in crate::actions) async fn end_everything_in(db: &Db<'_>, end: &End, actor: &Actor) -> Result<(), StoreError> {
    move_all_in(db).await?;
    let mut fold = Fold::default();
    let expected = db.count_sessions_of(&crate::store::CountKey::All).await?;
    if expected > 1 {
        fold.begin(db, u64::try_from(expected).unwrap_or(0), end, actor).await?;
    }
    loop {
        let gone = db.end_sessions(&Which::All, RECORDED, end).await?;
        if gone.is_empty() {
            return fold.finish(db, end).await;
        }
        fold.note(db, &gone, end, actor).await?;
    }
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

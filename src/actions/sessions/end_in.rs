//! Ends of sessions inside a transaction, with their events. Sessions that end together are one event,
//! and the single ends are its parts.

use std::collections::HashSet;

use crate::domain::caller::Actor;
use crate::domain::event::{EventContent, FilterTerms};
use crate::domain::{EndReason, Timestamp, UserId, UserKey};
use crate::store::events::rows::NewEvent;
use crate::store::sessions::end::Which;
use crate::store::sessions::history::End;
use crate::store::sessions::locked::GoneSession;
use crate::store::{Db, StoreError};

/// How many sessions one transaction ends, so that other writers wait briefly: a sign-in writes
/// three times, and may wait for one such transaction each time.
pub(in crate::actions) const CHUNK: i64 = 100;

/// The event of sessions that end together, and its totals. A single session has no such event.
#[derive(Clone, Debug, Default)]
pub(in crate::actions) struct Fold {
    /// Which sessions, for the event. Without a filter, and if all are of one user, it names the
    /// user.
    filter: FilterTerms,
    /// The key of the event, once there is one.
    event: Option<i64>,
    /// Whether the event was written before the first end: its totals are then written after the
    /// last one.
    is_begun: bool,
    /// The expected number, if it is known.
    expected: u64,
    count: u64,
    users: HashSet<i64>,
}

impl Fold {
    /// Of sessions that this filter finds. Its event is written with the first of them, and its totals with each
    /// transaction.
    pub fn of(filter: FilterTerms) -> Self {
        Self { filter, ..Self::default() }
    }

    /// The same with an event that is there already, of which these are some of the parts.
    pub fn part(event: Option<i64>) -> Self {
        Self { event, is_begun: true, ..Self::default() }
    }

    /// The key of the event that the next ones are parts of.
    pub fn event(&self) -> Option<i64> {
        self.event
    }

    /// Whether the event was written beforehand, so that its totals are still to be written.
    pub fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Adds the totals of another part of the same end.
    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        self.users.extend(other.users);
    }

    /// How many sessions ended so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Counts sessions that ended, by the keys of their users.
    pub fn add(&mut self, users: impl IntoIterator<Item = i64>) {
        for user in users {
            self.count += 1;
            self.users.insert(user);
        }
    }

    /// Writes the event before the first of `expected` sessions ends.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin(&mut self, db: &Db<'_>, expected: u64, end: &End, actor: &Actor) -> Result<(), StoreError> {
        (self.is_begun, self.expected) = (true, expected);
        self.event = Some(db.insert_parent_event(&self.content(end, false).by(actor, end.at)).await?);
        Ok(())
    }

    /// Writes the totals of an event that was written beforehand.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn finish(&self, db: &Db<'_>, end: &End) -> Result<(), StoreError> {
        let Some(event) = self.event.filter(|_| self.is_begun) else { return Ok(()) };
        db.update_event_content(event, &self.content(end, true)).await
    }

    /// Writes the events of sessions that ended.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn note(&mut self, db: &Db<'_>, gone: &[GoneSession], end: &End, actor: &Actor) -> Result<(), StoreError> {
        self.add(gone.iter().map(|session| session.user_id.0));
        if let (true, None, [first, ..], 1) = (self.filter.is_empty(), self.event, gone, self.users.len()) {
            self.filter.insert("username".to_owned(), first.username.clone());
        }
        let is_folded = gone.len() > 1 || (self.event.is_some() && !gone.is_empty());
        if is_folded && !self.is_begun {
            self.write(db, end, actor).await?;
        }
        db.insert_events(&events_of(gone, end, actor, self.event)).await
    }

    async fn write(&mut self, db: &Db<'_>, end: &End, actor: &Actor) -> Result<(), StoreError> {
        let content = self.content(end, true);
        match self.event {
            Some(event) => db.update_event_content(event, &content).await?,
            None => self.event = Some(db.insert_parent_event(&content.by(actor, end.at)).await?),
        }
        Ok(())
    }

    fn content(&self, end: &End, is_through: bool) -> EventContent {
        let users = u64::try_from(self.users.len()).unwrap_or(u64::MAX);
        EventContent::SessionsEnded {
            filter: self.filter.clone(),
            expected: if self.is_begun { self.expected } else { self.count },
            count: is_through.then_some(self.count),
            users: is_through.then_some(users),
            reason: end.reason,
            comment: end.comment.clone(),
        }
    }
}

/// Ends sessions inside a transaction, with their events.
pub(in crate::actions) async fn end_in(
    db: &Db<'_>,
    which: &Which,
    limit: i64,
    reason: EndReason,
    actor: &Actor,
    at: Timestamp,
) -> Result<Vec<GoneSession>, StoreError> {
    end_as(db, which, limit, &End::by(actor, at, reason), actor).await
}

/// The same, with all that is kept of the end.
pub(in crate::actions) async fn end_as(
    db: &Db<'_>,
    which: &Which,
    limit: i64,
    end: &End,
    actor: &Actor,
) -> Result<Vec<GoneSession>, StoreError> {
    let gone = db.end_sessions(which, limit, end).await?;
    Fold::default().note(db, &gone, end, actor).await?;
    Ok(gone)
}

/// The events of sessions that ended, as parts of the event `parent`.
pub(in crate::actions) fn events_of(gone: &[GoneSession], end: &End, actor: &Actor, parent: Option<i64>) -> Vec<NewEvent> {
    let content = match end.reason {
        EndReason::SignedOut => EventContent::SignOut {},
        EndReason::Expired => EventContent::SessionExpired {},
        reason => EventContent::SessionEnded { reason, comment: end.comment.clone() },
    };
    let event = |session: &GoneSession| {
        let event = content.clone().by(actor, end.at).about(session.user_id, &session.username);
        let event = NewEvent { user: Some(UserKey::Uuid(session.user_uuid)), ..event };
        // The event of a session that is moved later has the time and author of its end.
        NewEvent { actor: end.by, ..event }.of_session(session.uuid).part_of(parent)
    };
    gone.iter().map(event).collect()
}

impl End {
    /// An end by `actor` at `at`.
    #[must_use]
    pub fn by(actor: &Actor, at: Timestamp, reason: EndReason) -> Self {
        Self { at, by: actor.id.map(UserKey::Id), by_name: actor.name.clone(), reason, comment: String::new() }
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
    let (end, mut fold) = (End::by(actor, at, reason), Fold::default());
    loop {
        let gone = db.end_sessions(which, CHUNK, &end).await?;
        if gone.is_empty() {
            return Ok(());
        }
        fold.note(db, &gone, &end, actor).await?;
    }
}

//! How the sessions in memory follow the database: by the change log.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::store::db::statements::placeholders;
use crate::store::sessions::change_log::{Change, ChangeRow};
use crate::store::sessions::index::{Changes, Entry, SessionIndex};
use crate::store::sessions::memory::fill;
use crate::store::sessions::memory::position::Position;
use crate::store::sessions::memory::{OFTEN, SessionMemory, Turn, compute, lock};
use crate::store::{Db, Log, StoreError};

/// How many changes are applied at once, while questions wait.
pub(super) const STEP: usize = 500;
/// The most changes that a request reads on a thread that serves others.
const FEW: usize = 16;
/// The most rows of the log that such a request reads.
const FEW_ROWS: usize = 32;
/// From this number of changes on, they are read by a separate task.
const MANY: usize = 4000;

/// Why memory cannot answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// The sessions must be read again.
    Lost,
    /// Many changes are being read.
    Behind,
}

impl SessionMemory {
    /// As [`SessionMemory::catch_up`], on a thread that serves others: it reads few changes and
    /// does not wait for a lock. Everything longer is left to a task. Returns whether the sessions
    /// include all changes that were acknowledged before `asked`; `None`: before now.
    pub(super) async fn catch_up_soon(self: &Arc<Self>, db: &Db<'_>, asked: Option<Instant>) -> Result<bool, StoreError> {
        for _ in 0..3 {
            let Some(before) = self.try_read().map(|state| state.index.as_ref().map(|_| state.position.clone())) else {
                return Ok(false);
            };
            let Some(before) = before else {
                if self.missed.fetch_add(1, Ordering::Relaxed) >= OFTEN {
                    // Reset also if this fails: the next attempt then comes after `OFTEN` more
                    // lists.
                    self.missed.store(0, Ordering::Relaxed);
                    self.begin_to_fill(db).await?;
                }
                return Ok(false);
            };
            let seen_log = db.seen_log().filter(|_| self.log == Log::Own);
            let seen = asked.and_then(|asked| seen_log?.since(asked));
            if seen.is_some_and(|last| before.reaches(last)) {
                return Ok(true);
            }
            // While many changes are read, or wait for the end of a burst, the log is not read again and again.
            if *self.is_working.borrow() || lock(&self.bursts).is_on(Instant::now()) {
                return Ok(false);
            }
            let began = Instant::now();
            let rows = list_after(db, self.log, &before, Some(FEW_ROWS)).await?;
            let count: usize = rows.iter().map(|row| row.changes.len()).sum();
            let mut after = before.clone();
            let few = (rows.len() < FEW_ROWS && count <= FEW).then(|| after.advance(&rows, Instant::now()));
            let Some(changes) = few.flatten() else {
                self.begin_to_follow(db, count)?;
                return Ok(false);
            };
            if let Some(seen) = seen_log {
                seen.note(after.last, began);
            }
            if after == before {
                return Ok(true);
            }
            let Some(changes) = self.read_changes(db, &changes, true).await? else { return Ok(false) };
            let Some(mut state) = self.try_write() else { return Ok(false) };
            if state.apply(&before, &after, &changes) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings the sessions up to date with the database; `None`: they are.
    pub(super) async fn catch_up(self: &Arc<Self>, db: &Db<'_>) -> Result<Option<Late>, StoreError> {
        // Another request may catch up at the same time: the later one checks again.
        for _ in 0..100 {
            let Some(before) = self.position() else { return Ok(Some(Late::Lost)) };
            let rows = list_after(db, self.log, &before, None).await?;
            let mut after = before.clone();
            let Some(changes) = after.advance(&rows, Instant::now()).filter(|changes| !self.is_sooner_anew(changes.len())) else {
                self.forget();
                return Ok(Some(Late::Lost));
            };
            if after == before {
                return Ok(None);
            }
            if changes.len() > MANY {
                self.begin_to_follow(db, 0)?;
                return Ok(Some(Late::Behind));
            }
            if self.follow(db, before, after, &changes).await? {
                return Ok(None);
            }
        }
        Ok(Some(Late::Behind))
    }

    /// Starts a task for this many changes or more, unless one runs, or they are part of a burst.
    fn begin_to_follow(self: &Arc<Self>, db: &Db<'_>, changed: usize) -> Result<(), StoreError> {
        let Some(turn) = Turn::take(self) else { return Ok(()) };
        if changed > STEP && lock(&self.bursts).note(Instant::now()) {
            return Ok(());
        }
        turn.spend(db, |memory, db| Box::pin(memory.follow_all(db)))
    }

    /// Applies all changes. Reads all sessions again if the log does not reach back far enough.
    async fn follow_all(self: &Arc<Self>, db: &Db<'_>) -> Result<(), StoreError> {
        let Some(before) = self.position() else { return Ok(()) };
        let rows = list_after(db, self.log, &before, None).await?;
        let mut after = before.clone();
        match after.advance(&rows, Instant::now()) {
            Some(changes) if !self.is_sooner_anew(changes.len()) => self.follow(db, before, after, &changes).await.map(drop),
            _ => {
                let this = Arc::clone(self);
                compute(db, move || this.forget()).await?;
                self.fill(db).await
            }
        }
    }

    /// Applies these changes in steps, so that no question waits long for the lock. Returns whether
    /// all were applied: another task may have been faster.
    async fn follow(
        self: &Arc<Self>,
        db: &Db<'_>,
        before: Position,
        after: Position,
        changes: &[Change],
    ) -> Result<bool, StoreError> {
        let (mut at, mut rest) = (before, changes);
        loop {
            let (now, later) = rest.split_at(rest.len().min(STEP));
            let Some(changes) = self.read_changes(db, now, false).await? else { return Ok(false) };
            // Each step is a position: if two tasks apply the same changes, the later one stops.
            let next = if later.is_empty() { after.clone() } else { Position { step: at.step + 1, ..at.clone() } };
            let (this, from, to) = (Arc::clone(self), at, next.clone());
            if !compute(db, move || this.write().apply(&from, &to, &changes)).await? {
                return Ok(false);
            }
            if later.is_empty() {
                return Ok(true);
            }
            (at, rest) = (next, later);
        }
    }

    /// Reads what changed. `None` when no sessions are held, or their lock is held and `is_soon`.
    async fn read_changes(&self, db: &Db<'_>, changes: &[Change], is_soon: bool) -> Result<Option<Changes>, StoreError> {
        // An empty position in the log is stored as no changes.
        if changes.is_empty() {
            return Ok(Some(Changes::default()));
        }
        let (mut users, mut ids) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::User(id) => users.push(*id),
                Change::Session(id) => ids.push(*id),
            }
        }
        let mut sessions: Vec<Entry> = Vec::new();
        if !ids.is_empty() {
            let sql = format!("{} WHERE id IN ({})", fill::rows(self.log), placeholders(0, ids.len()));
            let values: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
            sessions = db.all(&sql, &values).await?;
        }
        let found: HashSet<i64> = sessions.iter().map(|session| session.id).collect();
        let gone = ids.into_iter().filter(|id| !found.contains(id)).collect();
        let state = if is_soon { self.try_read() } else { Some(self.read()) };
        let needed = state.and_then(|state| {
            let index = state.index.as_ref()?;
            Some((index.source(), needed(index, users, &sessions)))
        });
        let Some((source, (users, agents))) = needed else { return Ok(None) };
        let names = fill::read_names(db, source, &users, &agents).await?;
        Ok(Some(Changes { names, gone, sessions }))
    }
}

/// The users whose names must be read, and the user agents: of the changed users those that the
/// index knows, and those that the sessions refer to and the index does not know. A removed user
/// stays in the index: no session refers to them, and a later user with the same key is a change.
fn needed(index: &SessionIndex, changed: Vec<i64>, sessions: &[Entry]) -> (Vec<i64>, Vec<i64>) {
    let mut users: Vec<i64> = changed.into_iter().filter(|id| index.has_user(*id)).collect();
    users.extend(sessions.iter().map(|session| session.user_id).filter(|id| !index.has_user(*id)));
    let mut agents: Vec<i64> = sessions.iter().map(|session| session.user_agent_id).filter(|id| !index.has_agent(*id)).collect();
    for ids in [&mut users, &mut agents] {
        ids.sort_unstable();
        ids.dedup();
    }
    (users, agents)
}

/// The rows of the log that a position has not read yet, and the one it read last.
async fn list_after(db: &Db<'_>, log: Log, position: &Position, most: Option<usize>) -> Result<Vec<ChangeRow>, StoreError> {
    let missing: Vec<i64> = position.missing.iter().map(|(seq, _)| *seq).collect();
    db.list_changes(log, position.last, &missing, most).await
}

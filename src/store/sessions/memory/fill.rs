//! Reads all sessions into memory. The rows come on one thread, and the index is built on another.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::domain::listing::Facts;
use crate::domain::source::{NAME, SourceId};
use crate::domain::{Methods, SessionId};
use crate::store::db::statements::placeholders;
use crate::store::sessions::details::methods_sql;
use crate::store::sessions::index::{Agent, Changes, Entry, Names, SessionIndex};
use crate::store::sessions::memory::position::{Position, WINDOW};
use crate::store::sessions::memory::{SessionMemory, State, Turn, compute};
use crate::store::{Db, FromRow, Log, Row, StoreError};
use crate::values;

/// How many sessions one statement reads.
const STEP: i64 = 4000;
/// How many such parts may wait for the thread that builds the index.
const AHEAD: usize = 4;

/// The query for the columns of an [`Entry`], without its conditions.
pub(super) fn rows(log: Log) -> String {
    match log {
        Log::Own => {
            "SELECT id, uuid, user_id, user_agent_id, last_ip_key, country, asn, last_used_at, expires_at, created_at, is_remembered, \
             methods FROM sessions"
                .to_owned()
        }
        // authentik does not tell when a session began.
        Log::Watched => format!(
            "SELECT id, uuid, user_pk, user_agent_id, last_ip_key, country, asn, last_used_at, expires_at, first_seen_at, FALSE, \
             {} FROM watched_sessions",
            methods_sql()
        ),
    }
}

impl FromRow for Entry {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: SessionId(row.uuid()?),
            user_id: row.int()?,
            user_agent_id: row.int()?,
            last_ip: row.address()?,
            country: row.text()?,
            asn: row.opt_int()?,
            last_used_at: row.timestamp()?,
            expires_at: row.timestamp()?,
            created_at: row.timestamp()?,
            facts: Facts::new(row.bool()?, Methods::parse(&row.text()?)),
        })
    }
}

impl FromRow for Agent {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, text: row.text()?, browser: row.text()?, os: row.text()?, device: row.text()? })
    }
}

impl SessionMemory {
    /// Begins to read the sessions, unless a task is at work. Gives `false` where there are more than may be
    /// held.
    pub(super) async fn begin_to_fill(self: &Arc<Self>, db: &Db<'_>) -> Result<bool, StoreError> {
        if self.count_all(db).await? > self.limit.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if let Some(turn) = Turn::take(self)
            && !self.is_filled()
        {
            turn.spend(db, |memory, db| Box::pin(memory.fill(db)))?;
        }
        Ok(true)
    }

    /// Reads all sessions.
    pub(super) async fn fill(&self, db: &Db<'_>) -> Result<(), StoreError> {
        let started = Instant::now();
        let position = find_position(db, self.log).await?;
        let (count, source) = (self.count_all(db).await?, source_of(db, self.log).await?);
        let (sender, receiver) = mpsc::channel(AHEAD);
        let thread = std::thread::Builder::new().name("rollcall-index".into());
        let built = thread.spawn(move || build(usize::try_from(count).unwrap_or(0), source, receiver));
        let built = built.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let read = read_all(db, (self.log, source), &sender).await;
        drop(sender);
        let index = compute(db, move || built.join()).await?;
        read?;
        let index = index.map_err(|_| StoreError::Failed("the thread that builds the index panicked".into()))?;
        tracing::debug!(sessions = index.len(), millis = started.elapsed().as_millis(), "read all sessions into memory");
        *self.write() = State { index: Some(index), position };
        Ok(())
    }
}

/// Builds the index from parts as they come.
fn build(count: usize, source: Option<SourceId>, mut parts: mpsc::Receiver<Changes>) -> SessionIndex {
    let mut index = SessionIndex::filling(count, source);
    while let Some(part) = parts.blocking_recv() {
        index.apply(&part);
    }
    index.settle();
    index
}

/// Reads all sessions, each part with the names that no part before it had.
async fn read_all(db: &Db<'_>, (log, source): (Log, Option<SourceId>), parts: &mpsc::Sender<Changes>) -> Result<(), StoreError> {
    let (mut known_users, mut known_agents) = (HashSet::new(), HashSet::new());
    let mut after = i64::MIN;
    loop {
        let sql = format!("{} WHERE id > $1 ORDER BY id LIMIT $2", rows(log));
        let sessions: Vec<Entry> = db.all(&sql, &values![after, STEP]).await?;
        let Some(last) = sessions.last() else { return Ok(()) };
        after = last.id;
        let users: Vec<i64> = sessions.iter().map(|it| it.user_id).filter(|id| known_users.insert(*id)).collect();
        let agents: Vec<i64> = sessions.iter().map(|it| it.user_agent_id).filter(|id| known_agents.insert(*id)).collect();
        let part = Changes { names: read_names(db, source, &users, &agents).await?, gone: Vec::new(), sessions };
        // On SQLite this is a thread that may wait; futures are not woken there.
        let sent = if db.is_sqlite() { parts.blocking_send(part) } else { parts.send(part).await };
        sent.map_err(|_| StoreError::Failed("the thread that builds the index stopped".into()))?;
    }
}

/// The source whose copy follows a log; `None`: the sessions are Rollcall's own.
async fn source_of(db: &Db<'_>, log: Log) -> Result<Option<SourceId>, StoreError> {
    match log {
        Log::Own => Ok(None),
        Log::Watched => match db.find_source(NAME).await? {
            Some(source) => Ok(Some(source.id)),
            None => Err(StoreError::Unavailable("nothing was watched so far".into())),
        },
    }
}

/// Reads the names of these users and user agents. Those that are gone are left out; a user of a source whose name is not
/// known has none.
pub(super) async fn read_names(db: &Db<'_>, source: Option<SourceId>, users: &[i64], agents: &[i64]) -> Result<Names, StoreError> {
    let users = match source {
        None => db.list_usernames(users).await?,
        Some(source) => db.list_source_usernames(source, users).await?,
    };
    let mut known = Vec::with_capacity(agents.len());
    for ids in agents.chunks(500) {
        let sql = format!("SELECT id, text, browser, os, device FROM user_agents WHERE id IN ({})", placeholders(0, ids.len()));
        let values: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
        known.extend(db.all::<Agent>(&sql, &values).await?);
    }
    Ok(Names { users, agents: known })
}

/// The newest position of a log.
async fn find_position(db: &Db<'_>, log: Log) -> Result<Position, StoreError> {
    let last = db.newest_change(log).await?;
    if db.is_sqlite() {
        // One writer: positions are taken in the order of commits.
        return Ok(Position { last, ..Position::default() });
    }
    let seen = db.list_changes(log, last - WINDOW, &[], None).await?;
    let first = seen.first().map_or(last, |row| row.seq);
    let seen: HashSet<i64> = seen.iter().map(|row| row.seq).collect();
    let now = Instant::now();
    let missing = (first..last).filter(|seq| !seen.contains(seq)).map(|seq| (seq, now)).collect();
    Ok(Position { last, missing, step: 0 })
}

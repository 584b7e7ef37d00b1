//! What a transaction gathers and writes in its last statements, so that it locks these rows
//! briefly: counters, the change log, and rows that nothing else in the transaction needs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::StoreError;
use crate::store::db::statements::{Statement, insert_statements};
use crate::values;

/// What is counted. Rows are locked in this order, so that transactions do not deadlock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountKey {
    /// All sessions.
    All,
    /// Those of a user.
    User(i64),
    /// Those with a user agent, by its id.
    UserAgent(i64),
    /// Those in a country; the empty text for no known country.
    Country(String),
    /// Those in an autonomous system; `None` for no known one.
    Asn(Option<i64>),
    /// All ended sessions that are kept.
    Ended,
    /// Those of a user, by uuid.
    EndedOfUser(uuid::Uuid),
}

impl CountKey {
    pub(in crate::store) fn columns(&self) -> (&'static str, String) {
        match self {
            Self::All => ("all", String::new()),
            Self::User(id) => ("user", id.to_string()),
            Self::UserAgent(id) => ("user_agent", id.to_string()),
            Self::Country(code) => ("country", code.clone()),
            Self::Asn(number) => ("asn", number.map(|n| n.to_string()).unwrap_or_default()),
            Self::Ended => ("ended", String::new()),
            Self::EndedOfUser(uuid) => ("ended_user", uuid.simple().to_string()),
        }
    }

    /// All counters that include this session.
    pub(in crate::store) fn of_session(user_id: i64, user_agent_id: i64, country: &str, asn: Option<i64>) -> [Self; 5] {
        [Self::All, Self::User(user_id), Self::UserAgent(user_agent_id), Self::Country(country.to_owned()), Self::Asn(asn)]
    }
}

/// A log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// That of Rollcall's own sessions and users.
    Own,
    /// That of the copy of a watched source: its sessions, and the users of the source.
    Watched,
}

impl Log {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Own, Self::Watched];

    /// Its table.
    pub(in crate::store) fn table(self) -> &'static str {
        match self {
            Self::Own => "session_changes",
            Self::Watched => "watched_changes",
        }
    }
}

/// How many rows a counter is spread over on PostgreSQL, where each writer locks the rows it changes.
pub(in crate::store) const SLOTS: i64 = 16;

/// The most keys in one row of the change log.
const KEYS: usize = 4096;
/// What a transaction gathers and writes at its end, once and in a fixed order.
#[derive(Default)]
pub struct Pending {
    /// Which rows of the counters it changes.
    pub(in crate::store) slot: i64,
    /// Whether its connection must be discarded ([`StoreError::Stale`]).
    is_stale: AtomicBool,
    pub(in crate::store) last: Mutex<Vec<Statement>>,
    pub(in crate::store) counts: Mutex<BTreeMap<CountKey, i64>>,
    pub(in crate::store) changes: Mutex<Vec<i64>>,
    pub(in crate::store) watched_changes: Mutex<Vec<i64>>,
    pub(in crate::store) tally: Mutex<Tally>,
}

impl Pending {
    pub(in crate::store) fn in_slot(slot: i64) -> Self {
        Self { slot, ..Self::default() }
    }

    /// Notes whether an error means that the connection must be discarded.
    pub(in crate::store) fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::Stale(_)) {
            self.is_stale.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the connection must be discarded.
    pub(in crate::store) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }
}

/// Sessions that a transaction began and ended: counted once it is committed.
#[derive(Default)]
pub struct Tally {
    pub(in crate::store) created: u64,
    pub(in crate::store) ended: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts them in the metrics.
    pub(in crate::store) fn count(self) {
        crate::metrics::count_created(self.created);
        for (reason, sessions) in self.ended {
            crate::metrics::count_ended(reason, sessions);
        }
    }
}

/// The last statements, in the order in which they lock rows.
pub(in crate::store) fn last_statements(pending: &Pending) -> Vec<Statement> {
    let mut statements = std::mem::take(&mut *pending.last.lock().unwrap_or_else(PoisonError::into_inner));
    statements.extend(count_statements(pending));
    statements.extend(change_statements(Log::Own, &pending.changes));
    statements.extend(change_statements(Log::Watched, &pending.watched_changes));
    statements
}

/// The statements that change the counts: once, and in the keys' order.
fn count_statements(pending: &Pending) -> Vec<Statement> {
    let counts = std::mem::take(&mut *pending.counts.lock().unwrap_or_else(PoisonError::into_inner));
    let rows = counts.into_iter().filter(|(_, by)| *by != 0).map(|(key, by)| {
        let (kind, key) = key.columns();
        values![kind, key, pending.slot, by].to_vec()
    });
    insert_statements(
        "INSERT INTO session_counts (kind, key, slot, n) VALUES ",
        &rows.collect::<Vec<_>>(),
        " ON CONFLICT (kind, key, slot) DO UPDATE SET n = session_counts.n + excluded.n",
    )
}

/// The statements that name the changed sessions in a log.
fn change_statements(log: Log, changes: &Mutex<Vec<i64>>) -> Vec<Statement> {
    let ids = std::mem::take(&mut *changes.lock().unwrap_or_else(PoisonError::into_inner));
    let bytes = ids.chunks(KEYS).map(|ids| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>());
    let sql = match log {
        Log::Own => "INSERT INTO session_changes (ids) VALUES ($1)",
        Log::Watched => "INSERT INTO watched_changes (ids) VALUES ($1)",
    };
    bytes.map(|bytes| Statement { sql: sql.to_owned(), values: values![bytes].to_vec() }).collect()
}

//! Ends of very many sessions, in two steps. First their keys are recorded under a pending end, in
//! a small table: from that commit on they have ended, since the sessions are a view without these
//! rows (`migrations/*/0001_init.sql`). Then their rows are moved to the history in batches. To
//! move a row writes about fifteen pages, to record it a tenth of one.

use crate::domain::{EndReason, UserId, UserKey};
use crate::store::db::statements::named;
use crate::store::events::rows::user_key;
use crate::store::sessions::end::{MatchingEnd, Which};
use crate::store::sessions::history::End;
use crate::store::sessions::locked::{GoneSession, LockedRows};
use crate::store::sessions::rows::Counted;
use crate::store::{CountKey, Db, FromRow, Row, StoreError};
use crate::values;

/// The end of sessions that are not moved yet.
#[derive(Clone, Debug)]
pub struct PendingEnd {
    /// When they ended, who ended them and why.
    pub end: End,
    /// The address the request came from, or `""`.
    pub ip: String,
    /// The request's id, or `""`.
    pub request_id: String,
    /// The key of the event that the events of the single ends are parts of.
    pub event: Option<i64>,
}

/// A pending end whose sessions are not all moved.
struct PendingEndRow {
    id: i64,
    pending: PendingEnd,
}

const PENDING_COLUMNS: &str =
    "r.id, r.ended_at, r.ended_by_uuid, r.ended_by_name, r.reason, r.comment, r.ip, r.request_id, r.event_id";

impl FromRow for PendingEndRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let id = row.int()?;
        let (at, by, by_name) = (row.timestamp()?, row.opt_uuid()?.map(UserKey::Uuid), row.text()?);
        let reason = EndReason::parse(&row.text()?).ok_or(StoreError::Corrupt("a reason of an end"))?;
        let end = End { at, by, by_name, reason, comment: row.text()? };
        Ok(Self { id, pending: PendingEnd { end, ip: row.text()?, request_id: row.text()?, event: row.opt_int()? } })
    }
}

/// What one step recorded.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// How many sessions it looked at: fewer than the limit means that there are no others.
    pub found: usize,
    /// The primary keys of the users of those that it ended: one for each session.
    pub users: Vec<i64>,
}

/// Sessions that were moved to the history.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Which.
    pub sessions: Vec<GoneSession>,
    /// How they had ended.
    pub pending: PendingEnd,
}

struct LiveRow {
    id: i64,
    counted: Counted,
}

impl FromRow for LiveRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, counted: Counted::from_row(row)? })
    }
}

const LIVE_COLUMNS: &str = "s.id, s.user_id, s.user_agent_id, s.country, s.asn";

impl Db<'_> {
    /// Records the end of at most `limit` of the sessions that `which` selects: they have ended
    /// from this commit on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn record_ends(&self, which: &Which, limit: i64, pending: &PendingEnd) -> Result<Recorded, StoreError> {
        let (condition, values) = which.condition();
        let rows = self.lock_sessions((&condition, &values), limit).await?;
        let live = rows.read::<LiveRow>(LIVE_COLUMNS, (&condition, values)).await?;
        self.record_rows(&rows, live, pending).await
    }

    /// Records the end of those of the sessions `ids` that still match the filter by which they
    /// were found.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn record_ends_matching(
        &self,
        ids: &[i64],
        ended: &MatchingEnd,
        pending: &PendingEnd,
    ) -> Result<Recorded, StoreError> {
        let Some(mut conditions) = self.conditions_of(ended).filter(|_| !ids.is_empty()) else { return Ok(Recorded::default()) };
        let rows = self.lock_rows(ids).await?;
        let named = named("s.id", &mut conditions.values, ids);
        let sql = format!("SELECT {LIVE_COLUMNS} FROM sessions s{}", conditions.where_clause(&[&named], !self.is_sqlite()));
        let live = self.all(&sql, &conditions.values).await?;
        self.record_rows(&rows, live, pending).await
    }

    /// Records the end of sessions among locked rows.
    async fn record_rows(&self, rows: &LockedRows<'_>, live: Vec<LiveRow>, pending: &PendingEnd) -> Result<Recorded, StoreError> {
        let found = rows.ids().len();
        if live.is_empty() {
            return Ok(Recorded { found, users: Vec::new() });
        }
        let id = self.insert_pending_end(pending).await?;
        let named = live.iter().map(|row| values![row.id, id].to_vec()).collect();
        let sql = "INSERT INTO pending_end_sessions (session_id, pending_end_id) VALUES ";
        // The rows are locked and were live after that, so a conflict is not possible; one would
        // end no session twice.
        let end = " ON CONFLICT (session_id) DO NOTHING RETURNING session_id";
        let mut recorded: Vec<i64> = self.insert_rows_returning(sql, named, end).await?;
        recorded.sort_unstable();
        let mut users = Vec::with_capacity(recorded.len());
        for row in live.into_iter().filter(|row| recorded.binary_search(&row.id).is_ok()) {
            let Counted { user_id, user_agent_id, country, asn } = row.counted;
            self.add_to_counts(CountKey::of_session(user_id, user_agent_id, &country, asn), -1);
            self.note_change(row.id);
            users.push(user_id);
        }
        self.note_ended(pending.end.reason.as_str(), recorded.len());
        Ok(Recorded { found, users })
    }

    /// Announces to PostgreSQL that very many ends are being recorded. It plans a statement once
    /// for each connection, and in an empty table a scan costs as little as an index; this makes it
    /// plan again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_many_pending_ends(&self) -> Result<(), StoreError> {
        if self.is_sqlite() { Ok(()) } else { self.batch("ANALYZE pending_end_sessions").await }
    }

    async fn insert_pending_end(&self, PendingEnd { end, ip, request_id, event }: &PendingEnd) -> Result<i64, StoreError> {
        let sql = "INSERT INTO pending_ends (ended_at, ended_by_uuid, ended_by_name, reason, comment, ip, request_id, event_id) \
            VALUES ($1, COALESCE($2, (SELECT uuid FROM users WHERE id = $3)), $4, $5, $6, $7, $8, $9) RETURNING id";
        let End { at, by, by_name, reason, comment } = end;
        let [uuid, user] = user_key(*by);
        let values = values![*at, uuid, user, by_name, reason.as_str(), comment, ip, request_id, *event];
        self.one(sql, &values).await?.ok_or(StoreError::Corrupt("no key of a pending end"))
    }

    /// The key of the newest pending end; `None`: there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_last_pending_end(&self) -> Result<Option<i64>, StoreError> {
        self.one::<i64>("SELECT id FROM pending_ends ORDER BY id DESC LIMIT 1", &[]).await
    }

    /// Moves at most `limit` sessions of the oldest pending end to the history; `None`: there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn move_pending_ends(&self, limit: i64) -> Result<Option<Moved>, StoreError> {
        // Another transaction that moves some waits here, and moves the next ones.
        let lock = self.for_update();
        let sql = format!("SELECT {PENDING_COLUMNS} FROM pending_ends r ORDER BY r.id LIMIT 1{lock}");
        let Some(PendingEndRow { id, pending }) = self.one(&sql, &[]).await? else { return Ok(None) };
        let sql = "SELECT session_id FROM pending_end_sessions WHERE pending_end_id = $1 ORDER BY session_id LIMIT $2";
        let ids: Vec<i64> = self.all(sql, &values![id, limit]).await?;
        let sessions = self.move_rows(&ids, &pending.end).await?;
        if i64::try_from(ids.len()).unwrap_or(limit) < limit {
            self.execute("DELETE FROM pending_ends WHERE id = $1", &values![id]).await?;
        }
        Ok(Some(Moved { sessions, pending }))
    }

    /// Moves at most `limit` sessions of a user with a pending end; `None`: there are none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn move_pending_ends_of(&self, user: UserId, limit: i64) -> Result<Option<Moved>, StoreError> {
        let sql = format!(
            "SELECT {PENDING_COLUMNS} FROM session_rows s JOIN pending_end_sessions p ON p.session_id = s.id \
             JOIN pending_ends r ON r.id = p.pending_end_id WHERE s.user_id = $1 ORDER BY r.id LIMIT 1"
        );
        let Some(PendingEndRow { id, pending }) = self.one(&sql, &values![user]).await? else { return Ok(None) };
        let sql = "SELECT s.id FROM session_rows s JOIN pending_end_sessions p ON p.session_id = s.id \
            WHERE s.user_id = $1 AND p.pending_end_id = $2 ORDER BY s.id LIMIT $3";
        let ids: Vec<i64> = self.all(sql, &values![user, id, limit]).await?;
        let sessions = self.move_rows(&ids, &pending.end).await?;
        Ok(Some(Moved { sessions, pending }))
    }

    /// Whether a user has sessions with a pending end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_pending_ends_of(&self, user: UserId) -> Result<bool, StoreError> {
        let sql = "SELECT s.id FROM session_rows s JOIN pending_end_sessions p ON p.session_id = s.id WHERE s.user_id = $1 LIMIT 1";
        Ok(self.one::<i64>(sql, &values![user]).await?.is_some())
    }

    async fn move_rows(&self, ids: &[i64], end: &End) -> Result<Vec<GoneSession>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let gone = self.lock_rows(ids).await?.take_pending(end).await?;
        let mut values = Vec::new();
        let recorded = named("session_id", &mut values, ids);
        self.execute(&format!("DELETE FROM pending_end_sessions WHERE {recorded}"), &values).await?;
        Ok(gone)
    }
}

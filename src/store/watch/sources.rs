//! Watched sources, the state of their copies, and the lease of the one process that polls.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::source::{CopyState, SourceId};
use crate::store::sessions::end_job::Lease;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A watched source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// The key.
    pub id: SourceId,
    /// Its name, such as `authentik`.
    pub name: String,
    /// The address.
    pub url: String,
    /// How many other instances it was before.
    pub instance: i64,
    /// What is known of it.
    pub status: SourceStatus,
}

impl SourceRow {
    /// The UUID by which the history names a user of this instance.
    #[must_use]
    pub fn user_uuid(&self, pk: i64) -> Uuid {
        self.id.user_uuid(self.instance, pk)
    }
}

/// What is known of a source as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// The version, or `""`.
    pub version: String,
    /// The primary key of the token's owner; 0: not known so far.
    pub owner_pk: i64,
    /// The uid that the instance gave the owner, or `""`.
    pub owner_uid: String,
    /// The state of the copy.
    pub state: CopyState,
    /// Why it is in this state, as a sentence, or `""`.
    pub detail: String,
    /// How many sessions the source counted last.
    pub total: i64,
    /// When the copy last agreed with the source; 0: never.
    pub seen_at: Timestamp,
    /// When the last complete walk through all sessions began; 0: there was none.
    pub swept_at: Timestamp,
    /// The latest use of a session that was seen.
    pub newest_used_at: Timestamp,
    /// How far its clock is ahead of Rollcall's, in microseconds; 0 where they differ by less than five seconds.
    pub clock_ahead: i64,
}

impl SourceStatus {
    /// By Rollcall's clock, a time that the source told by its own: that of a use, or of an end to come.
    #[must_use]
    pub fn by_our_clock(&self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.saturating_sub(self.clock_ahead))
    }

    /// Notes how far its clock is ahead, in microseconds. It tells whole seconds, and an answer takes its time.
    pub fn note_clock(&mut self, ahead: i64) {
        self.clock_ahead = if ahead.abs() < SMALL_DIFFERENCE { 0 } else { ahead };
    }
}

/// Up to which difference two clocks count as the same, in microseconds.
const SMALL_DIFFERENCE: i64 = 5_000_000;

impl Default for SourceStatus {
    fn default() -> Self {
        Self {
            version: String::new(),
            owner_pk: 0,
            owner_uid: String::new(),
            state: CopyState::Copying,
            detail: String::new(),
            total: 0,
            seen_at: Timestamp(0),
            swept_at: Timestamp(0),
            newest_used_at: Timestamp(0),
            clock_ahead: 0,
        }
    }
}

impl FromRow for SourceRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: SourceId(row.int()?),
            name: row.text()?,
            url: row.text()?,
            instance: row.int()?,
            status: SourceStatus {
                version: row.text()?,
                owner_pk: row.int()?,
                owner_uid: row.text()?,
                state: CopyState::parse(&row.text()?).ok_or(StoreError::Corrupt("the state of a source"))?,
                detail: row.text()?,
                total: row.int()?,
                seen_at: row.timestamp()?,
                swept_at: row.timestamp()?,
                newest_used_at: row.timestamp()?,
                clock_ahead: row.int()?,
            },
        })
    }
}

/// How far the clocks of two nodes may be apart.
const CLOCKS: Duration = Duration::from_secs(60);

const COLUMNS: &str = "id, name, url, instance, version, owner_pk, owner_uid, state, detail, total, seen_at, swept_at, newest_used_at, \
    clock_ahead";

impl Db<'_> {
    /// The source of that name; `None` when none was ever watched.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_source(&self, name: &str) -> Result<Option<SourceRow>, StoreError> {
        self.one(&format!("SELECT {COLUMNS} FROM sources WHERE name = $1"), &values![name]).await
    }

    /// Adds a source, unless there is one of that name, which keeps its address.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_source(&self, name: &str, url: &str) -> Result<SourceRow, StoreError> {
        let sql = "INSERT INTO sources (kind, name, url, state) VALUES ('authentik', $1, $2, $3) \
            ON CONFLICT (name) DO NOTHING";
        self.execute(sql, &values![name, url, CopyState::Copying.as_str()]).await?;
        self.find_source(name).await?.ok_or(StoreError::Corrupt("a source that was just added"))
    }

    /// Takes the lease of a source, or renews it. Returns whether this process may poll now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold_source(&self, id: SourceId, lease: &Lease, now: Timestamp) -> Result<bool, StoreError> {
        let sql =
            "UPDATE sources SET lease_holder = $2, lease_until = $3 WHERE id = $1 AND (lease_holder = $2 OR lease_until <= $4)";
        Ok(self.execute(sql, &values![id.0, lease.holder.as_str(), lease.until, now]).await? > 0)
    }

    /// Takes the next time at which as many ends may be sent as this length of time permits, and gives its begin: at once,
    /// or when the time is over that was taken before. All jobs of all nodes take theirs here.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_end_time(&self, id: SourceId, length: Duration, now: Timestamp) -> Result<Timestamp, StoreError> {
        // A clock that was ahead, and was set back, keeps nobody waiting.
        let sql = "UPDATE sources SET next_end_at = $2 + CASE WHEN paced_at > $4 OR next_end_at < $3 THEN $3 ELSE next_end_at END, \
            paced_at = $3 WHERE id = $1 RETURNING next_end_at";
        let length_in_micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        let end: Option<i64> = self.one(sql, &values![id.0, length_in_micros, now, now.plus(CLOCKS)]).await?;
        Ok(end.map_or(now, |end| Timestamp(end.saturating_sub(length_in_micros))))
    }

    /// Gives the lease back, so that another process need not wait for its end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn release_source(&self, id: SourceId, holder: &str) -> Result<(), StoreError> {
        let sql = "UPDATE sources SET lease_until = 0 WHERE id = $1 AND lease_holder = $2";
        self.execute(sql, &values![id.0, holder]).await.map(drop)
    }

    /// Notes the address of a source, where it was found to be what was copied.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_source_url(&self, source: &SourceRow, url: &str) -> Result<(), StoreError> {
        let sql = "UPDATE sources SET url = $3 WHERE id = $1 AND instance = $2";
        self.execute(sql, &values![source.id.0, source.instance, url]).await.map(drop)
    }

    /// Writes what is known of a source, if this process has the lease. Returns whether it has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_source(&self, id: SourceId, holder: &str, status: &SourceStatus) -> Result<bool, StoreError> {
        let sql = "UPDATE sources SET version = $3, owner_pk = $4, owner_uid = $5, state = $6, detail = $7, total = $8, \
            seen_at = $9, swept_at = $10, newest_used_at = $11, clock_ahead = $12 WHERE id = $1 AND lease_holder = $2";
        let values = values![
            id.0,
            holder,
            status.version.as_str(),
            status.owner_pk,
            status.owner_uid.as_str(),
            status.state.as_str(),
            status.detail.as_str(),
            status.total,
            status.seen_at,
            status.swept_at,
            status.newest_used_at,
            status.clock_ahead,
        ];
        Ok(self.execute(sql, &values).await? > 0)
    }
}

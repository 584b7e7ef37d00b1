//! Ends of many sessions that were begun from a page: how far they are, for whoever began them and on
//! every node.

use std::time::Duration;

use crate::domain::{Timestamp, UserId};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How long they are remembered.
const KEPT: Duration = Duration::from_secs(86_400);

/// One that begins.
#[derive(Clone, Debug)]
pub struct NewEnding {
    /// What names it.
    pub name: String,
    /// Who began it.
    pub by: UserId,
    /// How many there were.
    pub total: i64,
    /// Why, in words, or `""`.
    pub comment: String,
}

/// How far one is.
#[derive(Clone, Debug)]
pub struct EndingRow {
    /// How many there were.
    pub total: i64,
    /// Why, in words, or `""`.
    pub comment: String,
    /// How far it is, in a word.
    pub state: String,
    /// How many were ended.
    pub ended: i64,
    /// How many are left, or there instead.
    pub remaining: i64,
    /// When this was written.
    pub updated_at: Timestamp,
}

impl FromRow for EndingRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            total: row.int()?,
            comment: row.text()?,
            state: row.text()?,
            ended: row.int()?,
            remaining: row.int()?,
            updated_at: row.timestamp()?,
        })
    }
}

impl Db<'_> {
    /// Adds one, and forgets old ones.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_ending(&self, ending: &NewEnding, state: &str, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM endings WHERE began_at < $1", &values![now.minus(KEPT)]).await?;
        let sql = "INSERT INTO endings (name, user_id, began_at, updated_at, total, comment, state, ended, remaining) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)";
        let values = values![ending.name.as_str(), ending.by, now, now, ending.total, ending.comment.as_str(), state, ending.total];
        self.execute(sql, &values).await.map(drop)
    }

    /// Says how far one is: its state, how many were ended, and how many are left.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_ending(
        &self,
        name: &str,
        state: &str,
        (ended, remaining): (i64, i64),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE endings SET state = $1, ended = $2, remaining = $3, updated_at = $4 WHERE name = $5";
        self.execute(sql, &values![state, ended, remaining, now, name]).await.map(drop)
    }

    /// One that this user began.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_ending(&self, name: &str, by: UserId) -> Result<Option<EndingRow>, StoreError> {
        let sql = "SELECT total, comment, state, ended, remaining, updated_at FROM endings WHERE name = $1 AND user_id = $2";
        self.one(sql, &values![name, by]).await
    }
}

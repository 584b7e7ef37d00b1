//! Limits on guesses: one row for each, which says how far it is used up. A statement takes from it
//! and says whether that fitted, so that of many at once, on all nodes, no more pass than may.

use super::{Db, FromRow, Row, StoreError};
use crate::domain::rate::Rate;
use crate::domain::{HashedSecret, Timestamp};
use crate::values;

impl FromRow for HashedSecret {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.bytes()?.try_into().map(Self).map_err(|_| StoreError::Corrupt("a hash"))
    }
}

impl Db<'_> {
    /// Takes one guess from a limit. Gives whether it fitted; if not, nothing changed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_guess(&self, key: HashedSecret, rate: Rate, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO guess_limits AS known (key, full_at, is_told) VALUES ($1, $2, FALSE) ON CONFLICT (key) DO UPDATE SET \
            full_at = CASE WHEN known.full_at > $3 THEN known.full_at ELSE $3 END + $4, \
            is_told = CASE WHEN known.full_at > $3 THEN known.is_told ELSE FALSE END WHERE known.full_at <= $5 RETURNING full_at";
        let step = micros(rate);
        let taken = self.one::<i64>(sql, &values![key, Timestamp(now.0 + step), now, step, rate.last_fit(now)]).await?;
        Ok(taken.is_some())
    }

    /// Gives one guess back that was none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give_guess_back(&self, key: HashedSecret, rate: Rate) -> Result<(), StoreError> {
        let sql = "UPDATE guess_limits SET full_at = full_at - $2 WHERE key = $1";
        self.execute(sql, &values![key, micros(rate)]).await.map(drop)
    }

    /// When a limit is as good as new; `None` when it is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_guess_limit(&self, key: HashedSecret) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.one::<i64>("SELECT full_at FROM guess_limits WHERE key = $1", &values![key]).await?.map(Timestamp))
    }

    /// Notes that a limit was hit. Gives whether it is the first time since it was as good as new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tell_guess_limit(&self, key: HashedSecret) -> Result<bool, StoreError> {
        let sql = "UPDATE guess_limits SET is_told = TRUE WHERE key = $1 AND is_told = FALSE";
        Ok(self.execute(sql, &values![key]).await? > 0)
    }

    /// Some limits that are as good as new at `now`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_idle_guess_limits(&self, now: Timestamp, limit: i64) -> Result<Vec<HashedSecret>, StoreError> {
        let sql = "SELECT key FROM guess_limits WHERE full_at <= $1 ORDER BY full_at LIMIT $2";
        self.all(sql, &values![now, limit]).await
    }

    /// Forgets a limit that is as good as new at `now`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_guess_limit(&self, key: HashedSecret, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM guess_limits WHERE key = $1 AND full_at <= $2", &values![key, now]).await.map(drop)
    }
}

fn micros(rate: Rate) -> i64 {
    i64::try_from(rate.step().as_micros()).unwrap_or(i64::MAX)
}

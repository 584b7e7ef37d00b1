//! Limits on guesses: one row for each, which says how far it is used up. A statement takes from it
//! and says whether that fitted, so that of many at once, on all nodes, no more pass than may.

use std::fmt::Write as _;

use super::{Db, FromRow, Row, StoreError};
use crate::domain::rate::Rate;
use crate::domain::{HashedSecret, Timestamp};
use crate::values;

impl FromRow for HashedSecret {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.bytes()?.try_into().map(Self).map_err(|_| StoreError::Corrupt("a hash"))
    }
}

/// In microseconds, as the schema has it.
const HOUR: i64 = 3_600_000_000;

impl Db<'_> {
    /// Takes one guess from each of these limits, if it fits all of them, and gives those that it was taken
    /// from: all or none. Only where others took the last one at the same moment, it is some: give those back.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_guesses(&self, limits: &[(HashedSecret, Rate)], now: Timestamp) -> Result<Vec<HashedSecret>, StoreError> {
        let limits = in_order(limits);
        let (mut rows, mut fits, mut lasts) = (String::new(), Vec::new(), String::new());
        let mut values = values![now].to_vec();
        for (key, rate) in &limits {
            let n = values.len();
            let (key_at, full_at, last_at) = (n + 1, n + 2, n + 3);
            let _ = write!(rows, " UNION ALL SELECT ${key_at}, ${full_at}, FALSE");
            fits.push(format!("NOT EXISTS (SELECT 1 FROM guess_limits WHERE key = ${key_at} AND full_at > ${last_at})"));
            let _ = write!(lasts, " WHEN ${key_at} THEN ${last_at}");
            values.extend(values![*key, Timestamp(now.0 + micros(*rate)), rate.last_fit(now)]);
        }
        if fits.is_empty() {
            return Ok(Vec::new());
        }
        // What a new row says is one step after now: so is what one that is there is moved by. The rows of
        // none tell PostgreSQL the types of the others. What fits is asked before a row is there, and again
        // when it is locked.
        let sql = format!(
            "INSERT INTO guess_limits AS known (key, full_at, is_told) SELECT fresh.key, fresh.full_at, fresh.is_told FROM \
             (SELECT key, full_at, is_told FROM guess_limits WHERE FALSE{rows}) fresh WHERE {} ON CONFLICT (key) DO UPDATE SET \
             full_at = CASE WHEN known.full_at > $1 THEN known.full_at ELSE $1 END + excluded.full_at - $1, \
             is_told = CASE WHEN known.full_at > $1 THEN known.is_told ELSE FALSE END \
             WHERE known.full_at <= CASE known.key{lasts} END RETURNING key",
            fits.join(" AND "),
        );
        self.all(&sql, &values).await
    }

    /// Gives back one guess of each of these limits that was none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give_guesses_back(&self, limits: &[(HashedSecret, Rate)]) -> Result<(), StoreError> {
        // Rows of an INSERT are locked in their order, those of an UPDATE in any. One that was forgotten
        // meanwhile comes back as good as new, and is forgotten again.
        let rows = in_order(limits).into_iter().map(|(key, rate)| values![key, micros(rate), false].to_vec()).collect();
        let sql = "INSERT INTO guess_limits AS known (key, full_at, is_told) VALUES ";
        self.insert_rows(sql, rows, " ON CONFLICT (key) DO UPDATE SET full_at = known.full_at - excluded.full_at").await
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

    /// Some limits that are as good as new at `now`, and are since an hour began that is over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_idle_guess_limits(&self, now: Timestamp, limit: i64) -> Result<Vec<HashedSecret>, StoreError> {
        let sql = "SELECT key FROM guess_limits WHERE full_hour < $1 ORDER BY full_hour LIMIT $2";
        self.all(sql, &values![now.0.div_euclid(HOUR), limit]).await
    }

    /// Forgets a limit that is as good as new at `now`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_guess_limit(&self, key: HashedSecret, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM guess_limits WHERE key = $1 AND full_at <= $2", &values![key, now]).await.map(drop)
    }
}

/// In the order in which their rows are locked, so that no two who guess wait for each other.
fn in_order(limits: &[(HashedSecret, Rate)]) -> Vec<(HashedSecret, Rate)> {
    let mut limits = limits.to_vec();
    limits.sort_unstable_by_key(|(key, _)| key.0);
    limits
}

fn micros(rate: Rate) -> i64 {
    i64::try_from(rate.step().as_micros()).unwrap_or(i64::MAX)
}

//! Rate limits on guesses: one row for each, with the instant at which it is full again (see
//! [`Rate`]). One statement checks a limit and takes from it, so that concurrent guesses on all
//! nodes never exceed it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use crate::domain::clock::AHEAD;
use crate::domain::rate::Rate;
use crate::domain::{HashedSecret, Timestamp};
use crate::store::db::statements::{Statement, in_list, step};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

impl FromRow for HashedSecret {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.bytes()?.try_into().map(Self).map_err(|_| StoreError::Corrupt("a hash"))
    }
}

/// The most limits in one statement.
const MOST: usize = 64;
/// In microseconds, as the column `full_hour` is computed.
const HOUR: i64 = 3_600_000_000;

impl Db<'_> {
    /// Takes one guess from each of these limits if none is used up, and returns the limits that it
    /// was taken from: all or none. Only if another request took the last guess of one at the same
    /// time, it is a part of them: the caller gives those back.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_guesses(&self, limits: &[(HashedSecret, Rate)], now: Timestamp) -> Result<Vec<HashedSecret>, StoreError> {
        if limits.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<Asked> = summed(limits).into_iter().filter_map(|asked| asked.fit(now)).collect();
        let Statement { sql, values } = take(&all, now, true);
        self.all(&sql, &values).await
    }

    /// The limits that have no guess left at `now`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_exhausted(
        &self,
        limits: &[(HashedSecret, Rate)],
        now: Timestamp,
    ) -> Result<HashSet<HashedSecret>, StoreError> {
        let limits: BTreeMap<_, _> = limits.iter().map(|(key, rate)| (key.0, rate.last_fit(now))).collect();
        let mut exhausted = HashSet::new();
        // A limit that is full again is not read.
        let (list, values) = in_list(values![now], limits.keys().map(|key| HashedSecret(*key)));
        let sql = format!("SELECT key, full_at FROM guess_limits WHERE full_at > $1 AND key IN ({list})");
        for (key, full_at) in self.all::<(HashedSecret, i64)>(&sql, &values).await? {
            if limits.get(&key.0).is_some_and(|last| Timestamp(full_at) > *last) {
                exhausted.insert(key);
            }
        }
        Ok(exhausted)
    }

    /// Takes guesses for several requests: from each of these limits one for each time that it is
    /// listed, or none. Returns the limits that they were taken from.
    ///
    /// # Errors
    /// When the database does not answer; some may be taken then.
    pub async fn take_many_guesses(
        &self,
        limits: &[(HashedSecret, Rate)],
        now: Timestamp,
    ) -> Result<Vec<HashedSecret>, StoreError> {
        let all: Vec<Asked> = summed(limits).into_iter().filter_map(|asked| asked.fit(now)).collect();
        let (mut taken, mut rest) = (Vec::new(), all.as_slice());
        while !rest.is_empty() {
            let (these, later) = rest.split_at(step(rest.len(), MOST));
            let Statement { sql, values } = take(these, now, false);
            taken.extend(self.all::<HashedSecret>(&sql, &values).await?);
            rest = later;
        }
        Ok(taken)
    }

    /// Gives guesses back: to each of these limits one for each time that it is listed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give_guesses_back(&self, limits: &[(HashedSecret, Rate)]) -> Result<(), StoreError> {
        // INSERT locks its rows in the order of the list, UPDATE in any order. If a limit's row was
        // deleted since the guess was taken, this inserts a full limit, which is deleted again
        // later.
        let rows = summed(limits).into_iter().map(|asked| values![asked.key, asked.micros(), false].to_vec()).collect();
        let sql = "INSERT INTO guess_limits AS known (key, full_at, is_told) VALUES ";
        self.insert_rows(sql, rows, " ON CONFLICT (key) DO UPDATE SET full_at = known.full_at - excluded.full_at").await
    }

    /// When a limit is full again; `None` when it has no row, since it is full.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_guess_limit(&self, key: HashedSecret) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.one::<i64>("SELECT full_at FROM guess_limits WHERE key = $1", &values![key]).await?.map(Timestamp))
    }

    /// Lowers limits that are used up by more than `now` allows: the clock was ahead when they were
    /// used. If it was ahead by more than the clocks of two nodes may differ, one guess is allowed
    /// from now on; else the limit stays used up, so that two nodes do not give one guess twice.
    /// Returns how many limits were lowered.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn bound_guess_limits(&self, limits: &[(HashedSecret, Rate)], now: Timestamp) -> Result<u64, StoreError> {
        let mut bounded = 0;
        for Asked { key, rate, .. } in summed(limits) {
            let sql = "UPDATE guess_limits SET full_at = CASE WHEN full_at > $3 THEN CAST($4 AS BIGINT) ELSE $2 END \
                WHERE key = $1 AND full_at > $2";
            let latest = rate.latest(now);
            bounded += self.execute(sql, &values![key, latest, latest.plus(AHEAD), rate.last_fit(now)]).await?;
        }
        Ok(bounded)
    }

    /// Notes that an event was written about this limit. Returns whether it is the first since the
    /// limit was last full.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tell_guess_limit(&self, key: HashedSecret) -> Result<bool, StoreError> {
        let sql = "UPDATE guess_limits SET is_told = TRUE WHERE key = $1 AND is_told = FALSE";
        Ok(self.execute(sql, &values![key]).await? > 0)
    }

    /// At most `limit` limits that were full again before the current hour began.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_idle_guess_limits(&self, now: Timestamp, limit: i64) -> Result<Vec<HashedSecret>, StoreError> {
        let sql = "SELECT key FROM guess_limits WHERE full_hour < $1 ORDER BY full_hour LIMIT $2";
        self.all(sql, &values![now.0.div_euclid(HOUR), limit]).await
    }

    /// Deletes a limit's row, if it is full again at `now`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_guess_limit(&self, key: HashedSecret, now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM guess_limits WHERE key = $1 AND full_at <= $2", &values![key, now]).await.map(drop)
    }
}

/// A number of guesses for one limit.
#[derive(Clone, Copy)]
struct Asked {
    key: HashedSecret,
    rate: Rate,
    times: u32,
    /// The latest `full_at` that allows this number of guesses.
    last: Timestamp,
}

impl Asked {
    /// The time in which these guesses are refilled, in microseconds.
    fn micros(&self) -> i64 {
        i64::try_from(self.rate.steps(self.times).as_micros()).unwrap_or(i64::MAX)
    }

    /// With `last` set for `now`; `None` when the number exceeds a full limit.
    fn fit(self, now: Timestamp) -> Option<Self> {
        Some(Self { last: self.rate.last_fit_of(self.times, now)?, ..self })
    }
}

/// Each limit once with the number of guesses, in the order of their keys: rows are locked in this
/// order, so that concurrent statements do not deadlock.
fn summed(limits: &[(HashedSecret, Rate)]) -> Vec<Asked> {
    let mut all = BTreeMap::new();
    for (key, rate) in limits {
        let asked = all.entry(key.0).or_insert(Asked { key: *key, rate: *rate, times: 0, last: Timestamp(0) });
        asked.times = asked.times.saturating_add(1);
    }
    all.into_values().collect()
}

/// The statement that takes guesses: from all limits or none, or from each limit on its own.
fn take(limits: &[Asked], now: Timestamp, is_all_or_none: bool) -> Statement {
    let (mut rows, mut fits, mut lasts) = (String::new(), Vec::new(), String::new());
    let mut values = values![now].to_vec();
    for asked in limits {
        let n = values.len();
        let (key_at, full_at, last_at) = (n + 1, n + 2, n + 3);
        let _ = write!(rows, " UNION ALL SELECT ${key_at}, ${full_at}, FALSE");
        if is_all_or_none {
            fits.push(format!("NOT EXISTS (SELECT 1 FROM guess_limits WHERE key = ${key_at} AND full_at > ${last_at})"));
        }
        let _ = write!(lasts, " WHEN ${key_at} THEN CAST(${last_at} AS BIGINT)");
        values.extend(values![asked.key, Timestamp(now.0.saturating_add(asked.micros())), asked.last]);
    }
    // Without a condition, SQLite would read ON as the start of a join's.
    let fits = if fits.is_empty() { "TRUE".to_owned() } else { fits.join(" AND ") };
    // A new row's `full_at` is `now` plus the refill time; an existing row's `full_at` moves by the
    // same time. The empty SELECT tells PostgreSQL the types of the others. The last WHERE checks a
    // limit when its row is locked; for all or none, the first WHERE checks all of them before
    // that, too.
    let sql = format!(
        "INSERT INTO guess_limits AS known (key, full_at, is_told) SELECT fresh.key, fresh.full_at, fresh.is_told FROM \
         (SELECT key, full_at, is_told FROM guess_limits WHERE FALSE{rows}) fresh WHERE {fits} ON CONFLICT (key) DO UPDATE SET \
         full_at = CASE WHEN known.full_at > $1 THEN known.full_at ELSE $1 END + excluded.full_at - $1, \
         is_told = CASE WHEN known.full_at > $1 THEN known.is_told ELSE FALSE END \
         WHERE known.full_at <= CASE known.key{lasts} END RETURNING key",
    );
    Statement::new(sql, values)
}

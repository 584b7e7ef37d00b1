//! Up to which key a table that only grows holds all its rows on PostgreSQL. Keys are given out before transactions commit,
//! so a row may appear below a key that is there already: after a long import, thousands of keys below.

use crate::store::{Db, StoreError};
use crate::values;

/// How many keys at the end are never taken for settled: a transaction may have a key for a moment before it has the number
/// that snapshots tell. Each connection can be in that moment with one key.
const MARGIN: i64 = 256;

/// A look at a table: its newest key, and the transactions of that moment.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Look {
    /// The newest key.
    pub last: i64,
    /// All transactions with lower numbers are over.
    pub over_below: i64,
    /// No transaction had this number or a higher one.
    pub begun_below: i64,
}

/// What is known of a table from the looks so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Settled {
    upto: i64,
    /// A newest key, and the number below which all transactions must be over for it to settle.
    waiting: Option<(i64, i64)>,
}

impl Settled {
    /// All rows that will ever have this key or a lower one are there for statements that begin after the look.
    pub fn upto(&self) -> i64 {
        (self.upto - MARGIN).max(0)
    }

    /// Adds a look.
    pub fn note(&mut self, look: Look) {
        if let Some((last, begun_below)) = self.waiting
            && look.over_below >= begun_below
        {
            self.upto = self.upto.max(last);
            self.waiting = None;
        }
        if self.waiting.is_none() && look.last > self.upto {
            self.waiting = Some((look.last, look.begun_below));
        }
    }
}

/// The columns that make a [`Look`] of the statement that reads them, after the newest key.
pub(in crate::store) const TRANSACTIONS: &str =
    "txid_snapshot_xmin(txid_current_snapshot()), txid_snapshot_xmax(txid_current_snapshot())";

impl Db<'_> {
    /// The newest key of a table, and the transactions of this moment. PostgreSQL alone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn look_at(&self, table: &'static str) -> Result<Look, StoreError> {
        let sql = format!("SELECT COALESCE((SELECT MAX(id) FROM {table}), 0), {TRANSACTIONS}");
        let (last, over_below, begun_below) = self.one(&sql, &values![]).await?.unwrap_or_default();
        Ok(Look { last, over_below, begun_below })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(last: i64, over_below: i64, begun_below: i64) -> Look {
        Look { last, over_below, begun_below }
    }

    #[test]
    fn a_key_settles_when_all_transactions_of_its_moment_are_over() {
        let mut settled = Settled::default();
        settled.note(look(5_000, 70, 80));
        assert_eq!(settled.upto(), 0, "70 to 79 may have lower keys");
        settled.note(look(9_000, 79, 95));
        assert_eq!(settled.upto(), 0, "79 goes on");
        settled.note(look(12_000, 80, 99));
        assert_eq!(settled.upto(), 5_000 - MARGIN);
        settled.note(look(12_000, 99, 99));
        assert_eq!(settled.upto(), 12_000 - MARGIN);
        settled.note(look(12_000, 120, 130));
        assert_eq!(settled.upto(), 12_000 - MARGIN, "nothing is new");
    }
}

//! Which rows of `session_rows` have a pending end, in SQL: they have ended and are not moved to
//! the history yet. All others are sessions.

use crate::store::{Db, StoreError, Value};

/// True for a row of `session_rows` that no pending end refers to.
pub(in crate::store) const IS_NOT_PENDING: &str =
    "NOT EXISTS (SELECT 1 FROM pending_end_sessions p WHERE p.session_id = session_rows.id)";

/// The tables that hold what is stored about sessions with a pending end: `s` the session, `u` its
/// user, `r` the pending end.
pub(in crate::store) const NOT_MOVED: &str = "pending_end_sessions p JOIN session_rows s ON s.id = p.session_id \
    JOIN pending_ends r ON r.id = p.pending_end_id JOIN users u ON u.id = s.user_id";

impl Db<'_> {
    /// How many rows that belong to sessions a table has: `table` with the name of its row, such as `app_sessions k`, and
    /// `session`, the column with the session's key. One table is counted, without the rows of sessions with a pending end,
    /// which are few: SQLite keeps to the order of a CROSS JOIN, and reads those first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn count_of_sessions(
        &self,
        (table, session): (&str, &str),
        (condition, values): (&str, &[Value]),
    ) -> Result<i64, StoreError> {
        let sql = format!(
            "SELECT (SELECT count(*) FROM {table} WHERE {condition}) - (SELECT count(*) FROM pending_end_sessions p \
             CROSS JOIN {table} WHERE {session} = p.session_id AND {condition})"
        );
        Ok(self.one::<i64>(&sql, values).await?.unwrap_or(0))
    }
}

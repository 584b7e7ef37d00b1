//! Which rows of `session_rows` have a pending end, in SQL: they have ended and are not moved to
//! the history yet. All others are sessions.

/// True for a row of `session_rows` that no pending end refers to.
pub(in crate::store) const IS_NOT_PENDING: &str =
    "NOT EXISTS (SELECT 1 FROM pending_end_sessions p WHERE p.session_id = session_rows.id)";

/// The tables that hold what is stored about sessions with a pending end: `s` the session, `u` its
/// user, `r` the pending end.
pub(in crate::store) const NOT_MOVED: &str = "pending_end_sessions p JOIN session_rows s ON s.id = p.session_id \
    JOIN pending_ends r ON r.id = p.pending_end_id JOIN users u ON u.id = s.user_id";

//! What is kept of ended sessions, and for how long.

use super::ActionError;
use crate::app::App;

/// How many are forgotten in one transaction, so that others get in between.
const CHUNK: i64 = 500;

/// Forgets sessions that ended longer ago than `history.retention`, and gives how many.
///
/// # Errors
/// When the database cannot be written; the next run goes on where this one stopped.
pub async fn purge(app: &App) -> Result<u64, ActionError> {
    let retention = app.config.history.retention;
    if retention.is_zero() {
        return Ok(0);
    }
    let before = app.clock.now().minus(retention);
    let mut purged = 0;
    loop {
        let gone = app.store.write(move |db| Box::pin(async move { db.delete_ended_sessions(before, CHUNK).await })).await?;
        purged += gone;
        if gone < CHUNK.unsigned_abs() {
            return Ok(purged);
        }
    }
}

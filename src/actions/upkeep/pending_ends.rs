//! Moving sessions with a pending end to the history, when no more ends are being recorded.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::bulk_end;

/// How many looks in a row may find newer pending ends before the older ones are moved anyway.
const PATIENCE: u32 = 30;

/// The state of the last look.
#[derive(Default)]
pub struct Moves(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    last: Option<i64>,
    /// How many looks in a row found a newer pending end.
    looks: u32,
}

impl Moves {
    /// Moves some pending ends for at most `time`, unless more were recorded since the last look: a
    /// request that ends very many sessions must not wait for that.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written, and the next call goes on
    /// where this one stopped.
    pub async fn go_on(&self, app: &App, by: By<'_>, time: Duration) -> Result<(), ActionError> {
        by.must_operate()?;
        let Some(last) = app.store.read().find_last_pending_end().await? else { return Ok(()) };
        if !self.is_quiet(last) {
            return Ok(());
        }
        bulk_end::move_some(app, time).await.map(drop)
    }

    fn is_quiet(&self, last: i64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = seen.last == Some(last) || seen.looks >= PATIENCE;
        *seen = Seen { last: Some(last), looks: if is_quiet { 0 } else { seen.looks + 1 } };
        is_quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_wait_while_there_are_more_and_not_for_ever() {
        let moves = Moves::default();
        assert!(!moves.is_quiet(7), "this may be one of many");
        assert!(moves.is_quiet(7) && moves.is_quiet(7));
        let waited = (8..100).take_while(|last| !moves.is_quiet(*last)).count();
        assert_eq!(waited, PATIENCE as usize);
    }
}

//! Removes what is older than ten minutes from the log of changed sessions. A reader that asks less
//! often reads all sessions again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;

/// Keep ten minutes of the change log: that many looks, one a minute.
const LOOKS: usize = 10;

/// The newest position in the log at each of the last looks.
#[derive(Default)]
pub struct ChangeLog(Mutex<VecDeque<i64>>);

impl ChangeLog {
    /// Removes what is older than ten minutes.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
    pub async fn shorten(&self, app: &App, by: By<'_>) -> Result<(), ActionError> {
        by.must_operate()?;
        let newest = app.store.read().newest_change().await?;
        let Some(old) = self.note(newest) else { return Ok(()) };
        while app.store.write(move |db| Box::pin(async move { db.delete_changes(old).await })).await? {}
        Ok(())
    }

    /// Notes the newest position in the log, and returns the one of ten looks ago.
    fn note(&self, newest: i64) -> Option<i64> {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.push_back(newest);
        if looks.len() > LOOKS { looks.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_kept() {
        let log = ChangeLog::default();
        assert!((1..=10).all(|at| log.note(at).is_none()));
        assert_eq!((log.note(11), log.note(12)), (Some(1), Some(2)));
    }
}

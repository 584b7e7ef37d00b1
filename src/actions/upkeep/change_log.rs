//! Removes what is older than ten minutes from the logs of changed sessions. A reader that asks less
//! often reads all sessions again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::store::Log;

/// Keep ten minutes of the change log: that many looks, one a minute.
const LOOKS: usize = 10;

/// The newest position in each log at each of the last looks.
#[derive(Default)]
pub struct ChangeLog([Mutex<VecDeque<i64>>; Log::ALL.len()]);

impl ChangeLog {
    /// Removes what is older than ten minutes.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
    pub async fn shorten(&self, app: &App, by: By<'_>) -> Result<(), ActionError> {
        by.must_operate()?;
        for (log, looks) in Log::ALL.into_iter().zip(&self.0) {
            let newest = app.store.read().newest_change(log).await?;
            let Some(old) = note(looks, newest) else { continue };
            while app.store.write(move |db| Box::pin(async move { db.delete_changes(log, old).await })).await? {}
        }
        Ok(())
    }
}

/// Notes the newest position in a log, and returns the one of ten looks ago.
fn note(looks: &Mutex<VecDeque<i64>>, newest: i64) -> Option<i64> {
    let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
    looks.push_back(newest);
    if looks.len() > LOOKS { looks.pop_front() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_kept() {
        let looks = Mutex::default();
        assert!((1..=10).all(|at| note(&looks, at).is_none()));
        assert_eq!((note(&looks, 11), note(&looks, 12)), (Some(1), Some(2)));
    }
}

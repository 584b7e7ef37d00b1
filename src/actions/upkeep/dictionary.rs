//! User agents that nothing refers to are removed from the dictionary, so that made-up ones do not
//! fill it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::store::StoreError;

/// How many entries go in one step.
const STEP: usize = 100;

/// The entries that the last run found unused. The next run deletes those that are still unused: a
/// sign-in that had just looked an entry up has used it by then. A node that cached the key for
/// longer gets a conflict and looks it up again.
#[derive(Default)]
pub struct UnusedAgents(Mutex<HashSet<i64>>);

impl UnusedAgents {
    /// Deletes the entries that were unused at the last run and still are. Returns how many.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written, and the next run tries
    /// again.
    pub async fn prune(&self, app: &App, by: By<'_>) -> Result<u64, ActionError> {
        by.must_operate()?;
        let unused = app.store.long_read(|db| Box::pin(async move { db.list_unused_user_agents().await }));
        let unused: Result<Vec<i64>, StoreError> = unused.await;
        let unused: HashSet<i64> = unused?.into_iter().collect();
        let before = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let gone: Vec<i64> = unused.intersection(&before).copied().collect();
        let mut pruned = 0;
        for ids in gone.chunks(STEP) {
            let ids = ids.to_vec();
            pruned += app.store.write(move |db| Box::pin(async move { db.delete_unused_user_agents(&ids).await })).await?;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = unused;
        Ok(pruned)
    }
}

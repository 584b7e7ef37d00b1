//! Applications, their guards, hosts and clients, app sessions, and the applications of app passwords.

pub mod app_sessions;
pub mod cache;
mod clients;
pub mod passwords;
pub mod people;
pub mod rows;

use std::sync::Arc;

use crate::store::applications::cache::Applications;
use crate::store::{Store, StoreError};

impl Store {
    /// The applications at this version, which the caller read in the statement that it decides by; or at a later one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn applications_at(&self, version: i64) -> Result<Arc<Applications>, StoreError> {
        if let Some(cached) = self.application_cache().0.load_full()
            && cached.version == version
        {
            return Ok(cached);
        }
        let db = self.read();
        // The version is read before the rows: they may be newer than it says, and never older.
        let version = db.find_applications_version().await?;
        let read = Arc::new(db.read_applications(version).await?);
        self.application_cache().0.store(Some(Arc::clone(&read)));
        Ok(read)
    }

    /// The applications as this process read them last, or as they are now if it has not yet. What is decided by them
    /// needs a statement that gives their version: it may be another one by now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn applications_last_read(&self) -> Result<Arc<Applications>, StoreError> {
        match self.application_cache().0.load_full() {
            Some(cached) => Ok(cached),
            None => self.applications().await,
        }
    }

    /// The applications as they are now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn applications(&self) -> Result<Arc<Applications>, StoreError> {
        let version = self.read().find_applications_version().await?;
        self.applications_at(version).await
    }
}

//! The applications as this process read them lately, for questions that are decided by the version in the database a
//! statement later, or in favour of nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::core::Core;
use crate::domain::application::Application;
use crate::domain::application::host::Host;
use crate::store::StoreError;
use crate::store::applications::cache::Applications;

/// How old they may be. A request without credentials is refused by them without a statement.
const AGE: Duration = Duration::from_secs(1);

/// Applications, and when they were compared with the database.
#[derive(Debug, Default)]
pub struct Recent(ArcSwapOption<(Instant, Arc<Applications>)>);

impl Recent {
    /// The applications as they were within the last second.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn applications(&self, core: &Core) -> Result<Arc<Applications>, StoreError> {
        if let Some(known) = self.0.load_full().filter(|known| known.0.elapsed() < AGE) {
            return Ok(Arc::clone(&known.1));
        }
        self.now(core).await
    }

    /// The applications as they are now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(&self, core: &Core) -> Result<Arc<Applications>, StoreError> {
        // A clock reading before the statement: the answer is at least as new.
        let read_at = Instant::now();
        let read = core.store.applications().await?;
        self.0.store(Some(Arc::new((read_at, Arc::clone(&read)))));
        Ok(read)
    }

    /// The application that has a host. One that was not known a moment ago is looked for in the database.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of_host(&self, core: &Core, host: &Host) -> Result<Option<Arc<Application>>, StoreError> {
        if let Some(application) = self.applications(core).await?.by_host(host) {
            return Ok(Some(Arc::clone(application)));
        }
        Ok(self.now(core).await?.by_host(host).cloned())
    }
}

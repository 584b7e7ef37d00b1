//! The rule that an administrator who can sign in is left: an instance without one is lost to its people.

use crate::actions::ActionError;
use crate::domain::UserId;
use crate::store::{Db, StoreError};

/// Whether there was an administrator who could sign in before an act, in its transaction.
pub(in crate::actions) struct Administrators {
    were_able: bool,
}

impl Administrators {
    /// Looks before an act that may take the last one away, and holds off other such acts.
    pub async fn watch(db: &Db<'_>) -> Result<Self, StoreError> {
        db.lock_administrators().await?;
        Ok(Self { were_able: db.has_able_administrator().await? })
    }

    /// Looks after it.
    ///
    /// # Errors
    /// [`ActionError::LastAdministrator`] when the act took the last one away: the transaction must be undone.
    pub async fn must_remain(&self, db: &Db<'_>) -> Result<(), ActionError> {
        if self.were_able && !db.has_able_administrator().await? { Err(ActionError::LastAdministrator) } else { Ok(()) }
    }

    /// Looks whether an administrator who can sign in would be left without this user, where there is one: before an act
    /// that is asked for and done later. The act itself looks again.
    ///
    /// # Errors
    /// [`ActionError::LastAdministrator`].
    pub async fn must_remain_without(db: &Db<'_>, user: UserId) -> Result<(), ActionError> {
        let is_able = Self::watch(db).await?.were_able;
        if is_able && !db.has_able_administrator_but(user).await? { Err(ActionError::LastAdministrator) } else { Ok(()) }
    }
}

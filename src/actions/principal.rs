//! Who calls, once that is proved, and what follows from it for sessions.

use crate::actions::ActionError;
use crate::domain::UserId;
use crate::domain::scope::Scopes;
use crate::store::people::users::Rights;
use crate::store::sessions::rows::LiveSession;

/// The token of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerToken {
    /// Its primary key.
    pub id: i64,
    /// What names it.
    pub identifier: String,
    /// What it may do of what its owner may.
    pub scopes: Scopes,
}

/// A caller who has proved who they are.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Primary key.
    pub user_id: UserId,
    /// Name.
    pub username: String,
    /// What they may do.
    pub rights: Rights,
    /// The token that says who calls; `None`: a session's cookie does.
    pub token: Option<CallerToken>,
    /// The session of the request's cookie, if that is good, also when a token says who calls.
    pub session: Option<LiveSession>,
}

impl Principal {
    /// Whose sessions the caller may see: everybody's (`None`), or one user's.
    #[must_use]
    pub fn visible(&self) -> Option<UserId> {
        if self.rights.may_view_sessions { None } else { Some(self.user_id) }
    }

    /// Whether the caller may see sessions of that user.
    #[must_use]
    pub fn may_see(&self, owner: UserId) -> bool {
        self.visible().is_none_or(|only| only == owner)
    }

    /// Lets only those pass who may see everybody's sessions.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_see_all(&self) -> Result<(), ActionError> {
        if self.rights.may_view_sessions { Ok(()) } else { Err(ActionError::Forbidden) }
    }

    /// Lets only administrators pass.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_administer(&self) -> Result<(), ActionError> {
        if self.rights.is_superuser { Ok(()) } else { Err(ActionError::Forbidden) }
    }

    /// Lets only those pass who read everything: administrators and auditors.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_inspect(&self) -> Result<(), ActionError> {
        if self.rights.may_inspect() { Ok(()) } else { Err(ActionError::Forbidden) }
    }

    /// Whose things the caller may read, of those that administrators and auditors read for all users; `None`: everybody's.
    #[must_use]
    pub fn reads_only(&self) -> Option<UserId> {
        (!self.rights.may_inspect()).then_some(self.user_id)
    }

    /// Whether the caller may end sessions of that user, once they may see them.
    #[must_use]
    pub fn may_end(&self, owner: UserId) -> bool {
        owner == self.user_id || self.rights.may_delete_sessions
    }
}

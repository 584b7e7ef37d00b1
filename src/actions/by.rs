//! Who does something, and by which right: every action takes one and checks it itself, so that pages, API, commands
//! and jobs call the same functions.

use crate::actions::ActionError;
use crate::actions::principal::Principal;
use crate::domain::caller::Actor;
use crate::domain::{SessionId, UserId};

/// Who does something.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// A caller who proved who they are, by the rights that they have; and the request: its address and its id.
    Principal(&'a Principal, &'a Actor),
    /// The command line. Its user has the database and the instance key, and may do everything.
    Cli,
    /// Rollcall itself: its start and its jobs.
    System,
}

impl By<'_> {
    /// What events and ended sessions remember of it.
    #[must_use]
    pub fn actor(self) -> Actor {
        match self {
            Self::Principal(who, request) => request.as_user(who.user_id, &who.username),
            Self::Cli => Actor::cli(),
            Self::System => Actor::system(),
        }
    }

    /// Lets administrators pass, the command line, and Rollcall itself.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_administer(self) -> Result<(), ActionError> {
        match self {
            Self::Principal(who, _) => who.must_administer(),
            Self::Cli | Self::System => Ok(()),
        }
    }

    /// Lets those pass who read everything: administrators, auditors, the command line, and Rollcall itself.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_inspect(self) -> Result<(), ActionError> {
        match self {
            Self::Principal(who, _) => who.must_inspect(),
            Self::Cli | Self::System => Ok(()),
        }
    }

    /// Whose things it may read, of those that administrators and auditors read for all users; `None`: everybody's.
    #[must_use]
    pub fn reads_only(self) -> Option<UserId> {
        match self {
            Self::Principal(who, _) => who.reads_only(),
            Self::Cli | Self::System => None,
        }
    }

    /// Like [`By::must_inspect`], and lets a user pass for what is their own.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_own_or_inspect(self, owner: UserId) -> Result<(), ActionError> {
        if self.is(owner) { Ok(()) } else { self.must_inspect() }
    }

    /// Lets those pass who administer, and a user for what is their own.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_own_or_administer(self, owner: UserId) -> Result<(), ActionError> {
        if self.is(owner) { Ok(()) } else { self.must_administer() }
    }

    /// Lets the command line and Rollcall itself pass, and no caller of the server, whatever their rights.
    ///
    /// # Errors
    /// [`ActionError::Forbidden`].
    pub fn must_operate(self) -> Result<(), ActionError> {
        match self {
            Self::Principal(..) => Err(ActionError::Forbidden),
            Self::Cli | Self::System => Ok(()),
        }
    }

    /// Whether it is this user.
    #[must_use]
    pub fn is(self, user: UserId) -> bool {
        matches!(self, Self::Principal(who, _) if who.user_id == user)
    }

    /// The session in which this user does it; `None`: another one does, or it is no session that says who calls.
    #[must_use]
    pub fn own_session(self, user: UserId) -> Option<SessionId> {
        match self {
            Self::Principal(who, _) if who.user_id == user && who.token.is_none() => who.session.as_ref().map(|own| own.uuid),
            _ => None,
        }
    }
}

//! Why a poll did not come to its end.

use crate::actions::ActionError;
use crate::domain::source::CopyState;
use crate::store::StoreError;
use crate::watch::SourceError;

/// Why a poll did not come to its end. The copy is as it was, or has what was read before.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Another process polls.
    #[error("another process polls this authentik")]
    NotOurs,
    /// No authentik is set.
    #[error("no authentik is watched: authentik.url is not set")]
    NotSet,
    /// The token is a superuser's.
    #[error(
        "the token belongs to a superuser, who may change everything in authentik. Make a token of a service account that may view \
         users and sessions, or set authentik.allow_superuser"
    )]
    Superuser,
    /// It is not certain that what seems to have ended did.
    #[error("{0}")]
    Doubt(String),
    /// A request had no answer that can be used.
    #[error("{what}: {error}")]
    Source {
        /// What was asked for.
        what: &'static str,
        /// Why there is no answer.
        error: SourceError,
    },
    /// The caller has no right, or the database does not answer.
    #[error(transparent)]
    Action(#[from] ActionError),
}

impl From<StoreError> for PollError {
    fn from(error: StoreError) -> Self {
        Self::Action(error.into())
    }
}

impl PollError {
    /// The state that the copy is in after it; `None`: it says nothing of the source.
    pub(super) fn state(&self) -> Option<CopyState> {
        match self {
            Self::NotOurs | Self::NotSet | Self::Action(_) => None,
            Self::Superuser => Some(CopyState::Refused),
            Self::Doubt(_) => Some(CopyState::InDoubt),
            Self::Source { error, .. } if error.is_temporary() => Some(CopyState::Away),
            Self::Source { error, .. } => Some(match error {
                SourceError::TokenRefused | SourceError::Forbidden | SourceError::NoToken(_) => CopyState::Refused,
                _ => CopyState::Unreadable,
            }),
        }
    }

    /// What there is to do about it, where the error itself does not say it.
    pub(super) fn cure(&self) -> &'static str {
        let Self::Source { error, what } = self else { return "" };
        match (error, *what) {
            (SourceError::TokenRefused, _) => {
                " Make a token of the kind API whose owner is active, and that does not expire (expiring: false)."
            }
            (SourceError::Forbidden, USERS) => " Give the token's owner a role with the permission authentik_core.view_user.",
            (SourceError::Forbidden, _) => {
                " Give the token's owner a role with the permission authentik_core.view_authenticatedsession."
            }
            _ => "",
        }
    }
}

/// What is asked for, in errors.
pub(super) const SESSIONS: &str = "the list of sessions";
pub(super) const SESSION: &str = "one session";
pub(super) const USERS: &str = "the list of users";
pub(super) const OWNER: &str = "the token's owner";

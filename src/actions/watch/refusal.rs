//! Why a session of a watched authentik was not ended.

use std::time::Duration;

use crate::watch::SourceError;

/// Why a session of a watched authentik was not ended, or why it is not known whether it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndRefusal {
    /// The settings name no authentik.
    #[error("no authentik is watched any more: authentik.url is not set")]
    NotSet,
    /// Sessions of the copy seem to be missing.
    #[error("the copy of authentik's sessions is in doubt: {0}")]
    InDoubt(String),
    /// The copy is too old, or not complete so far.
    #[error("{0}")]
    Old(String),
    /// The token is not to be used, or something else than authentik answers.
    #[error("authentik cannot be used: {0}")]
    Unusable(String),
    /// The token's owner may not end sessions.
    #[error("give the token's owner in authentik a role with the permission authentik_core.delete_authenticatedsession")]
    NoRight,
    /// A request failed before it could end anything.
    #[error("{0}")]
    Failed(SourceError),
    /// Another end of the session is under way.
    #[error("another end of this session is under way, or its outcome is not known so far")]
    UnderWay,
    /// Nobody knows what became of it.
    #[error(
        "it is not known whether authentik ended the session: {0}. Rollcall asks authentik again until it says, and writes the \
         outcome down"
    )]
    NotKnown(String),
    /// The session is still there after authentik failed.
    #[error("the session is still there: {0}")]
    StillThere(String),
}

impl EndRefusal {
    /// What an error of the request that ends, or of the one before it, says.
    #[must_use]
    pub fn of(error: SourceError) -> Self {
        match error {
            SourceError::Forbidden => Self::NoRight,
            error => Self::Failed(error),
        }
    }

    /// That the copy was last fresh this long ago; `None`: it never was.
    #[must_use]
    pub fn old(age: Option<Duration>) -> Self {
        let is = age.map_or_else(
            || "is not complete so far".to_owned(),
            |age| format!("is {} old", humantime::format_duration(Duration::from_secs(age.as_secs()))),
        );
        Self::Old(format!(
            "the copy of authentik's sessions {is}, and an end needs one that is not older than a minute. A running server polls \
             by itself, and so does rollcall watch run --once"
        ))
    }

    /// Whether the session is certainly not ended by this.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::NotKnown(_) | Self::UnderWay)
    }
}

//! Words in the content of events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which sessions an end of many was about: names of filters with their values as text. Empty: all sessions.
pub type FilterTerms = BTreeMap<String, String>;

/// What something was before an act, and after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// What it was.
    pub before: Value,
    /// What it is now.
    pub after: Value,
}

/// What an act changed, by name.
pub type Changes = BTreeMap<String, Change>;

/// Where a sign-in failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailedStage {
    /// At the name or the password.
    #[default]
    Password,
    /// At the password that a signed-in user is asked for again.
    Confirmation,
    /// At a passkey.
    Passkey,
}

/// How a user authenticated again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// By the password, and a code where there is a second factor.
    #[default]
    Password,
    /// By a passkey.
    Passkey,
}

/// A rate limit on guesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuessLimit {
    /// Of one account.
    #[default]
    Account,
    /// Of one account from one known device.
    KnownDevice,
    /// Of one address or IPv6 /64.
    Address,
    /// Of the instance.
    Instance,
}

impl GuessLimit {
    /// The word that is stored and counted.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::KnownDevice => "known_device",
            Self::Address => "address",
            Self::Instance => "instance",
        }
    }
}

/// Why a right password did not open a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInRefusal {
    /// The user has as many sessions as the policy allows.
    #[default]
    LimitReached,
}

/// What an alert about a watched authentik is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceAlert {
    /// A user has a session in a country where none of their sessions was.
    #[default]
    NewCountry,
    /// A user has a session in a network where none of their sessions was.
    NewNetwork,
    /// Two sessions of a user are so far apart that nobody travels there in the time between.
    TooFar,
    /// A superuser of the source has a session with a browser and a system that none of their sessions had.
    NewDevice,
    /// A user has more sessions than the settings permit.
    ManySessions,
    /// Many sessions began at once.
    ManyNew,
    /// Many sessions are missing at once.
    ManyGone,
    /// The copy is older than the settings permit.
    OldCopy,
}

impl SourceAlert {
    /// The word that is stored and counted.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewCountry => "new_country",
            Self::NewNetwork => "new_network",
            Self::TooFar => "too_far",
            Self::NewDevice => "new_device",
            Self::ManySessions => "many_sessions",
            Self::ManyNew => "many_new",
            Self::ManyGone => "many_gone",
            Self::OldCopy => "old_copy",
        }
    }
}

//! Words in the content of events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

/// What is said of something that was added. What is empty is left out.
#[must_use]
pub fn added(said: Map<String, Value>) -> Changes {
    let said = said.into_iter().filter(|(_, value)| !is_empty(value));
    said.map(|(name, after)| (name, Change { before: Value::Null, after })).collect()
}

/// What was said of something that is removed. What was empty is left out.
#[must_use]
pub fn removed(said: Map<String, Value>) -> Changes {
    let said = said.into_iter().filter(|(_, value)| !is_empty(value));
    said.map(|(name, before)| (name, Change { before, after: Value::Null })).collect()
}

/// What differs between two accounts of a thing, by the names of the second one.
#[must_use]
pub fn differences(before: &Map<String, Value>, after: Map<String, Value>) -> Changes {
    let pairs = after.into_iter().map(|(name, after)| {
        let before = before.get(&name).cloned().unwrap_or_default();
        (name, Change { before, after })
    });
    pairs.filter(|(_, change)| change.before != change.after).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

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

//! App sessions: one session and one application. What is kept of them when they end.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// An app session in the history of its session: an object of `ended_sessions.applications`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndedAppSession {
    /// The app session's uuid, dashed.
    pub uuid: String,
    /// The application's slug when it began.
    pub slug: String,
    /// The application's name when it began.
    pub name: String,
    /// The guarded hosts that were opened.
    pub hosts: Vec<String>,
    /// The client that was opened; null: none.
    pub client_id: Option<String>,
    /// When it began, in microseconds since 1970.
    pub created: i64,
    /// When it was last used, in microseconds since 1970.
    pub last_used: i64,
}

impl EndedAppSession {
    /// When it began.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        Timestamp(self.created)
    }

    /// When it was last used.
    #[must_use]
    pub fn last_used_at(&self) -> Timestamp {
        Timestamp(self.last_used)
    }

    /// A list as it is stored.
    #[must_use]
    pub fn list_to_json(list: &[Self]) -> String {
        serde_json::to_string(list).unwrap_or_else(|_| "[]".to_owned())
    }

    /// A stored list. What cannot be read is an empty one: the history of the session is shown all the same.
    #[must_use]
    pub fn list_from_json(text: &str) -> Vec<Self> {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// Why an app session ended without its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppEndReason {
    /// Somebody ended it.
    #[default]
    Revoked,
    /// The application or its part was removed.
    ApplicationRemoved,
    /// The application was changed, and its user may not open it any more.
    AccessChanged,
    /// A token of it was used in two places.
    Reused,
    /// Its user took back what the app was allowed.
    ConsentWithdrawn,
}

impl AppEndReason {
    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::ApplicationRemoved => "application_removed",
            Self::AccessChanged => "access_changed",
            Self::Reused => "reused",
            Self::ConsentWithdrawn => "consent_withdrawn",
        }
    }
}

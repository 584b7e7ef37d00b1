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
    /// Until when an app that checks its JWT access tokens by itself may honour one, in microseconds since 1970; 0: it had
    /// none.
    pub jwt_until: i64,
}

/// For how many seconds an app may still honour a JWT access token that is good until then: a started one counts. 0: none is
/// good, and an end takes effect at once.
#[must_use]
pub fn ends_within(jwt_until: Timestamp, now: Timestamp) -> u64 {
    let left = jwt_until.since(now);
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

/// How soon an end takes effect, in words: `at once`, or `within 5 minutes`, of which a started one counts.
#[must_use]
pub fn takes_effect(ends_within: u64) -> String {
    match ends_within.div_ceil(60) {
        0 => "at once".to_owned(),
        1 => "within 1 minute".to_owned(),
        minutes => format!("within {minutes} minutes"),
    }
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

    /// For how many seconds the app may still honour a JWT access token ([`ends_within`]).
    #[must_use]
    pub fn ends_within(&self, now: Timestamp) -> u64 {
        ends_within(Timestamp(self.jwt_until), now)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_end_takes_effect_when_the_last_token_is_over() {
        let now = Timestamp(1_000_000_000);
        for (left, seconds, words) in [
            (0, 0, "at once"),
            (1, 1, "within 1 minute"),
            (60_000_000, 60, "within 1 minute"),
            (60_000_001, 61, "within 2 minutes"),
            (300_000_000, 300, "within 5 minutes"),
        ] {
            let within = ends_within(now.plus(Duration::from_micros(left)), now);
            assert_eq!((within, takes_effect(within).as_str()), (seconds, words), "{left}");
        }
        assert_eq!(ends_within(Timestamp(0), now), 0, "it never had one");
        let before: Vec<EndedAppSession> = EndedAppSession::list_from_json(r#"[{"slug": "wiki"}]"#);
        assert_eq!(before[0].ends_within(now), 0, "of a version that did not know it");
    }
}

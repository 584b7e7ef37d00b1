//! Sessions: how long they live and why they end.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::domain::clock::Timestamp;
use crate::domain::names::{self, NameRule};

/// The public identifier of a session in the API. It is not its key and opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// Makes a new one for a session that begins at `now`.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn generate(now: Timestamp) -> Result<Self, getrandom::Error> {
        let mut random = [0; 10];
        getrandom::fill(&mut random)?;
        Ok(Self::from_parts(now, random))
    }

    /// A version 7 UUID (RFC 9562): the millisecond of `at`, which is 1970 for earlier ones, then
    /// 74 of the `random` bits. Sessions that begin at the same time are neighbours in the indexes
    /// by UUID; with wholly random UUIDs, each would read and write another page.
    #[must_use]
    pub fn from_parts(at: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(at.0 / 1000).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Reads a UUID (RFC 9562) in any letter case, with its dashes or without.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.trim()).ok().map(Self)
    }
}

impl fmt::Display for SessionId {
    /// Lower-case and dashed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

/// How long a session may live: OWASP's idle timeout and absolute timeout (ASVS v5.0.0-7.3.1, 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// It ends when it was not used for this long; `None`: no such limit.
    pub idle_timeout: Option<Duration>,
    /// It ends at this instant, used or not.
    pub absolute_expires_at: Timestamp,
}

impl Lifetime {
    /// The nearer of the two ends for a session last used at `last_used_at`.
    #[must_use]
    pub fn expires_at(&self, last_used_at: Timestamp) -> Timestamp {
        match self.idle_timeout {
            Some(idle) => last_used_at.plus(idle).min(self.absolute_expires_at),
            None => self.absolute_expires_at,
        }
    }

    /// Whether a use at `now` must be written: at most once per `touch_interval` (zero: never), and
    /// often enough that the idle timeout is exact to a tenth. A last use that is
    /// [ahead](Timestamp::is_ahead) of `now` was written under a wrong clock, and is replaced.
    #[must_use]
    pub fn is_touch_due(&self, last_used_at: Timestamp, now: Timestamp, touch_interval: Duration) -> bool {
        if touch_interval.is_zero() {
            return false;
        }
        let due = self.idle_timeout.map_or(touch_interval, |idle| touch_interval.min(idle / 10));
        (now.since(last_used_at) >= due && now > last_used_at) || last_used_at.is_ahead(now)
    }
}

/// The longest name of a session, in characters.
pub const MAX_LABEL_LENGTH: usize = 60;

/// Why a name of a session is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelRule {
    /// Too long.
    #[error("a name has at most {MAX_LABEL_LENGTH} characters")]
    Long,
    /// A character that no name may hold.
    #[error("this name is not allowed: {0}")]
    Name(#[from] NameRule),
}

/// The name of a session or a factor as it is stored: [tidy](names::tidy), at most 60 characters. Empty:
/// no name.
///
/// # Errors
/// The rule it breaks.
pub fn check_label(text: &str) -> Result<String, LabelRule> {
    let text = names::tidy(text)?;
    if text.chars().count() > MAX_LABEL_LENGTH { Err(LabelRule::Long) } else { Ok(text) }
}

/// What a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A browser's, or a program's that signed in.
    Browser,
    /// A device's without a browser (RFC 8628).
    Device,
    /// What an app keeps of its user after the browser's session. The limit of concurrent sessions does not count it.
    Offline,
}

impl SessionKind {
    /// The word that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Device => "device",
            Self::Offline => "offline",
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its owner signed out of it.
    SignedOut,
    /// Someone ended it, its owner from elsewhere or an administrator.
    #[default]
    Revoked,
    /// Its time was over.
    Expired,
    /// Its browser signed in again.
    Replaced,
    /// Its user's password was changed.
    PasswordChanged,
    /// Its user's second factors changed.
    FactorsChanged,
    /// Its user was deactivated.
    UserDeactivated,
    /// Its user was removed.
    UserRemoved,
    /// The session limit of its user was reached.
    LimitReached,
    /// It was used from another network or place than the one it is bound to.
    Moved,
    /// A backup was restored that it was in.
    Restored,
    /// It ended at a watched authentik, for a reason that is not known.
    Gone,
}

impl EndReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::SignedOut,
        Self::Revoked,
        Self::Expired,
        Self::Replaced,
        Self::PasswordChanged,
        Self::FactorsChanged,
        Self::UserDeactivated,
        Self::UserRemoved,
        Self::LimitReached,
        Self::Moved,
        Self::Restored,
        Self::Gone,
    ];

    /// The reason of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::PasswordChanged => "password_changed",
            Self::FactorsChanged => "factors_changed",
            Self::UserDeactivated => "user_deactivated",
            Self::UserRemoved => "user_removed",
            Self::LimitReached => "limit_reached",
            Self::Moved => "moved",
            Self::Restored => "restored",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other_and_differ() {
        let at = |millis: i64| Timestamp(millis * 1000 + 999);
        let id = SessionId::from_parts(at(1_764_000_000_000), [0xff; 10]);
        // The millisecond, then the marks of version 7 and of the variant.
        assert_eq!(id.to_string(), "019ab697-e800-7fff-bfff-ffffffffffff");
        assert!(id < SessionId::from_parts(at(1_764_000_000_001), [0; 10]));
        assert!(SessionId::from_parts(Timestamp(-1), [1; 10]) < id, "before 1970");
        let now = at(1_764_000_000_000);
        assert_ne!(SessionId::generate(now).unwrap(), SessionId::generate(now).unwrap());
    }

    #[test]
    fn ids_are_read_with_dashes_or_without() {
        let id = SessionId::parse("50499c33-bd55-4ced-8916-e466275b4b73").unwrap();
        assert_eq!(id.to_string(), "50499c33-bd55-4ced-8916-e466275b4b73");
        assert_eq!(SessionId::parse("50499C33BD554CED8916E466275B4B73"), Some(id));
        for bad in ["", "50499c33", "g0499c33bd554ced8916e466275b4b73", "+0499c33bd554ced8916e466275b4b7"] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_one_short_line() {
        assert_eq!(check_label("  Laptop at work ").as_deref(), Ok("Laptop at work"));
        assert_eq!(check_label("").as_deref(), Ok(""));
        assert_eq!(check_label("a\nb"), Err(LabelRule::Name(NameRule::Control)));
        assert_eq!(check_label(&"é".repeat(61)), Err(LabelRule::Long));
        assert!(check_label(&"é".repeat(60)).is_ok());
    }

    #[test]
    fn the_nearer_end_wins() {
        let at = |s: i64| Timestamp(s * 1_000_000);
        let life = Lifetime { idle_timeout: Some(Duration::from_secs(10)), absolute_expires_at: at(25) };
        assert_eq!(life.expires_at(at(0)), at(10));
        assert_eq!(life.expires_at(at(20)), at(25));
        let no_idle = Lifetime { idle_timeout: None, ..life };
        assert_eq!(no_idle.expires_at(at(0)), at(25));
    }

    #[test]
    fn touches_are_rare_but_keep_the_idle_timeout_true() {
        let at = |s: i64| Timestamp(s * 1_000_000);
        let minute = Duration::from_secs(60);
        let life = Lifetime { idle_timeout: Some(Duration::from_secs(3600)), absolute_expires_at: at(9999) };
        assert!(!life.is_touch_due(at(0), at(59), minute));
        assert!(life.is_touch_due(at(0), at(60), minute));
        assert!(!life.is_touch_due(at(0), at(9999), Duration::ZERO));
        assert!(!life.is_touch_due(at(100), at(50), minute), "a clock that went back never touches");
        let short = Lifetime { idle_timeout: Some(minute), ..life };
        assert!(short.is_touch_due(at(0), at(6), minute));
    }
}

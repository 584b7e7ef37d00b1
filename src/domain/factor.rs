//! How users authenticate: the methods a session was proved with, the kinds of authenticators, and
//! how many wrong codes are accepted.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::domain::clock::Timestamp;

/// The public identifier of an authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactorId(pub Uuid);

impl FactorId {
    /// Reads an id, dashed or not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for FactorId {
    /// Lower-case and dashed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// One way to prove who one is, in the words of [RFC 8176](https://www.rfc-editor.org/rfc/rfc8176).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// A password.
    Password,
    /// A code that works once: from an authenticator app, or a recovery code.
    OneTimeCode,
    /// A key that does not leave its device.
    HardwareKey,
    /// A key that is kept by software, as a synchronised passkey is.
    SoftwareKey,
    /// A person touched the device that holds a key.
    Presence,
    /// More than one factor.
    SeveralFactors,
}

impl Method {
    /// All of them, in the order they are written.
    pub const ALL: [Self; 6] =
        [Self::Password, Self::OneTimeCode, Self::HardwareKey, Self::SoftwareKey, Self::Presence, Self::SeveralFactors];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::OneTimeCode => "otp",
            Self::HardwareKey => "hwk",
            Self::SoftwareKey => "swk",
            Self::Presence => "user",
            Self::SeveralFactors => "mfa",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// The methods a session was proved with. None: it was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// A password alone.
    #[must_use]
    pub fn password() -> Self {
        Self::default().with(Method::Password)
    }

    /// These and one more. A password and another method are several factors; so is a passkey whose
    /// authenticator verified the user, which is marked with [`Method::SeveralFactors`].
    #[must_use]
    pub fn with(self, method: Method) -> Self {
        let both = Self(self.0 | method.bit());
        if both.has(Method::Password) && both.has_factor() { Self(both.0 | Method::SeveralFactors.bit()) } else { both }
    }

    /// These and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Method::ALL.into_iter().filter(|method| other.has(*method)).fold(self, Self::with)
    }

    /// Whether this method is included.
    #[must_use]
    pub fn has(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }

    /// Whether something other than a password was proved.
    #[must_use]
    pub fn has_factor(self) -> bool {
        [Method::OneTimeCode, Method::HardwareKey, Method::SoftwareKey].into_iter().any(|method| self.has(method))
    }

    /// Whether more than one factor was proved: a password and a device, or a passkey whose
    /// authenticator verified the user.
    #[must_use]
    pub fn is_multi_factor(self) -> bool {
        self.has(Method::SeveralFactors)
    }

    /// Reads what is stored. Unknown words are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = |word: &str| Method::ALL.into_iter().find(|method| method.as_str() == word);
        Self(text.split([' ', ',']).filter_map(known).fold(0, |bits, method| bits | method.bit()))
    }

    /// The words, for JSON.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        Method::ALL.into_iter().filter(|method| self.has(*method)).map(Method::as_str).collect()
    }
}

impl fmt::Display for Methods {
    /// As it is stored: words with blanks between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl Serialize for Methods {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.words().serialize(serializer)
    }
}

/// What an authenticator is, in authentik's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorKind {
    /// An app that shows codes (RFC 6238).
    Totp,
    /// A passkey or a security key (WebAuthn).
    WebAuthn,
}

impl FactorKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Totp, Self::WebAuthn];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::WebAuthn => "webauthn",
        }
    }

    /// The kind of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The most authenticators that one user has.
pub const MAX_FACTORS: usize = 20;
/// The longest name of an authenticator, in characters.
pub const MAX_FACTOR_NAME_LENGTH: usize = 60;

/// The number of wrong codes in a row, and until when no further one is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// The number of wrong codes since the last right one.
    pub failures: u32,
    /// When the next one is checked.
    pub blocked_until: Timestamp,
}

impl Tries {
    /// Below this number, wrong codes cause no wait.
    const FREE: u32 = 5;
    /// The wait after [`Tries::FREE`] wrong codes; each further one doubles it.
    const FIRST_WAIT: Duration = Duration::from_secs(30);
    /// The longest wait: about 24 attempts a day for strangers, of a million codes.
    const LONGEST_WAIT: Duration = Duration::from_secs(3600);

    /// Whether a code is checked now.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.blocked_until <= now
    }

    /// After one more wrong code.
    #[must_use]
    pub fn and_failure(&self, now: Timestamp) -> Self {
        let failures = self.failures.saturating_add(1);
        if failures < Self::FREE {
            Self { failures, ..*self }
        } else {
            Self { failures, blocked_until: now.plus(Self::wait(failures)) }
        }
    }

    /// The same number with the wait that it causes from `now`, if the stored wait is longer: a
    /// clock was ahead when it was stored. `None` if it is not.
    #[must_use]
    pub fn bounded(&self, now: Timestamp) -> Option<Self> {
        let latest = now.plus(Self::wait(self.failures));
        self.blocked_until.is_ahead(latest).then_some(Self { blocked_until: latest, ..*self })
    }

    /// The wait after this number of wrong codes in a row.
    fn wait(failures: u32) -> Duration {
        let Some(beyond) = failures.checked_sub(Self::FREE) else { return Duration::ZERO };
        Self::FIRST_WAIT.saturating_mul(1 << beyond.min(16)).min(Self::LONGEST_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_stored_in_rfc_8176s_words() {
        assert_eq!(Methods::default().to_string(), "");
        assert_eq!(Methods::password().to_string(), "pwd");
        let both = Methods::password().with(Method::OneTimeCode);
        assert_eq!(both.to_string(), "pwd otp mfa");
        assert!(both.has_factor() && both.is_multi_factor());
        assert!(!Methods::password().has_factor());
        let key = Methods::default().with(Method::HardwareKey);
        assert_eq!(key.to_string(), "hwk", "a key alone is one factor");
        assert_eq!(key.and(Methods::password()).to_string(), "pwd hwk mfa");
        assert_eq!(key.with(Method::SeveralFactors).to_string(), "hwk mfa");
        for stored in ["", "pwd", "pwd otp mfa", "swk user mfa"] {
            assert_eq!(Methods::parse(stored).to_string(), stored);
        }
        assert_eq!(Methods::parse("pwd gone,otp").to_string(), "pwd otp");
        assert_eq!(serde_json::to_string(&both).unwrap(), r#"["pwd","otp","mfa"]"#);
    }

    #[test]
    fn wrong_codes_cost_more_and_more() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let mut tries = Tries::default();
        for _ in 0..4 {
            tries = tries.and_failure(at(0));
            assert!(tries.is_open(at(0)));
        }
        let waits: Vec<i64> = (0..9)
            .map(|_| {
                tries = tries.and_failure(at(0));
                tries.blocked_until.0 / 1_000_000
            })
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert!(!tries.is_open(at(3599)) && tries.is_open(at(3600)));
        let ahead = Tries { failures: 6, blocked_until: at(20 * 3600) };
        assert_eq!(ahead.bounded(at(0)), Some(Tries { failures: 6, blocked_until: at(60) }), "the wait of six wrong codes");
        assert_eq!(Tries { failures: 6, blocked_until: at(61) }.bounded(at(0)), None, "two clocks differ a little");
        let many = Tries { failures: u32::MAX, ..tries };
        assert_eq!(many.and_failure(at(0)).blocked_until, at(3600));
    }
}

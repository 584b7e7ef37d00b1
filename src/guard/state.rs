//! The state of a sign-in to an app, sealed with the instance key: it goes from the app's host to Rollcall's and back
//! in addresses, and nobody can read or change it there.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::actions::app::App;
use crate::domain::guard::places::Words;
use crate::domain::{HashedSecret, Timestamp};

const PURPOSE: &str = "sign-in to an app";
/// How long a state can be opened at all. One that is older than [`crate::guard::cookies::START_LIVES`] only says
/// where to begin again.
const LIVES: Duration = Duration::from_secs(24 * 3600);

/// A sign-in to an app, under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The primary key of the application.
    pub application: i64,
    /// The host.
    pub host: String,
    /// The path to lead to, with its query.
    pub target: String,
    /// The name of the start cookie's end.
    pub flow: String,
    /// The hash of the start cookie's value.
    nonce: [u8; 32],
    /// In whose words the host's own addresses are.
    pub words: Words,
    /// How often it was begun again, and when first (seconds).
    pub tries: Tries,
    /// Whether the proxy tells no methods, so that rules of all methods count.
    pub is_any_method: bool,
    /// When it was made, in microseconds.
    made_at: i64,
}

/// How often a sign-in was begun again within a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// How often.
    pub count: u8,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// How often a sign-in may be begun again.
const MOST_TRIES: u8 = 3;
/// Within how many seconds these count.
const TRIES_TIME: i64 = 60;

impl Tries {
    /// One more; `None`: those are too many.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Option<Self> {
        let now = now.0 / 1_000_000;
        // A browser tells these, so they may be any numbers.
        if !(self.since..self.since.saturating_add(TRIES_TIME)).contains(&now) {
            return Some(Self { count: 1, since: now });
        }
        (self.count < MOST_TRIES).then(|| Self { count: self.count + 1, since: self.since })
    }

    /// Reads what [`std::fmt::Display`] writes; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let read = |(count, since): (&str, &str)| Some(Self { count: count.parse().ok()?, since: since.parse().ok()? });
        text.split_once('.').and_then(read).unwrap_or_default()
    }
}

impl std::fmt::Display for Tries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.count, self.since)
    }
}

/// What a new state is made of.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// The primary key of the application.
    pub application: i64,
    /// The host.
    pub host: &'a str,
    /// The path to lead to.
    pub target: &'a str,
    /// The end of the start cookie's name.
    pub flow: &'a str,
    /// The hash of its value.
    pub nonce: HashedSecret,
    /// In whose words.
    pub words: Words,
    /// How often it was begun again.
    pub tries: Tries,
    /// Whether rules of all methods count.
    pub is_any_method: bool,
}

impl State {
    /// A new one.
    #[must_use]
    pub fn new(begun: Begun<'_>, now: Timestamp) -> Self {
        let Begun { application, host, target, flow, nonce, words, tries, is_any_method } = begun;
        let (host, target, flow) = (host.to_owned(), target.to_owned(), flow.to_owned());
        Self { application, host, target, flow, nonce: nonce.0, words, tries, is_any_method, made_at: now.0 }
    }

    /// The hash of the start cookie's value.
    #[must_use]
    pub fn nonce(&self) -> HashedSecret {
        HashedSecret(self.nonce)
    }

    /// Whether it was made within this time. One from the future was not.
    #[must_use]
    pub fn is_within(&self, time: Duration, now: Timestamp) -> bool {
        let made = Timestamp(self.made_at);
        made <= now && now.since(made) <= time
    }

    /// Seals it, in URL-safe base64.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn seal(&self, app: &App) -> Result<String, getrandom::Error> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Ok(URL_SAFE_NO_PAD.encode(app.instance_key.seal(PURPOSE, b"", &json)?))
    }

    /// Opens one that was sealed here within a day.
    #[must_use]
    pub fn open(app: &App, sealed: &str) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let state: Self = serde_json::from_slice(&app.instance_key.open(PURPOSE, b"", &sealed)?).ok()?;
        state.is_within(LIVES, app.clock.now()).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fourth_try_within_a_minute_is_too_many() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let one = Tries::default().next(at(1000)).unwrap();
        let two = one.next(at(1010)).unwrap();
        let three = two.next(at(1059)).unwrap();
        assert_eq!([one.count, two.count, three.count], [1, 2, 3]);
        assert_eq!(three.next(at(1059)), None);
        assert_eq!(three.next(at(1060)), Some(Tries { count: 1, since: 1060 }), "a minute later they count anew");
        assert_eq!(three.next(at(900)), Some(Tries { count: 1, since: 900 }), "the clock went back");
        for since in [i64::MAX, i64::MAX - 1, i64::MIN, -1] {
            let told = Tries::parse(&Tries { count: 255, since }.to_string());
            assert_eq!(told.next(at(1000)), Some(Tries { count: 1, since: 1000 }), "{since}");
        }
        assert_eq!(Tries { count: 255, since: 1000 }.next(at(1000)), None);
        assert_eq!(Tries::parse(&three.to_string()), three);
        for none in ["", "x", "1", "1.x", "300.5", "-1.5"] {
            assert_eq!(Tries::parse(none), Tries::default(), "{none}");
        }
    }
}

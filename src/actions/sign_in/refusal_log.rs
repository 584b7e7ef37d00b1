//! The log lines about refused sign-ins, one for each refused proof. Programs such as fail2ban read them, so their
//! words and the order of their fields are a promise (docs/OPERATIONS.md), and no text of a client is in them
//! but its address, which was parsed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::caller::Actor;
use crate::domain::{Address, UserId};

/// An address gets one line about a limit in this time.
const QUIET: Duration = Duration::from_secs(10);
/// The most lines a second that no limit on guesses bounds.
const A_SECOND: u32 = 100;
/// How often lines that were held back are counted in the log.
const TELL: Duration = Duration::from_secs(60);

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A password.
    Password,
    /// The code of a second factor.
    Code,
    /// A passkey.
    Passkey,
    /// What a signed-in user proves once more.
    Confirm,
    /// An app password.
    AppPassword,
    /// The key of an API token.
    Token,
    /// A set-up or recovery link.
    Link,
}

impl Refused {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Code => "code",
            Self::Passkey => "passkey",
            Self::Confirm => "confirm",
            Self::AppPassword => "app_password",
            Self::Token => "token",
            Self::Link => "link",
        }
    }

    /// Whether limits on guesses bound its lines.
    fn is_limited(self) -> bool {
        matches!(self, Self::Password | Self::Code | Self::Confirm | Self::AppPassword)
    }
}

/// Writes the lines, and bounds those that nothing else bounds, so that a flood does not fill a disk.
#[derive(Clone, Debug, Default)]
pub struct RefusalLog(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// When each address last got a line about a limit.
    told: HashMap<String, Instant>,
    second: Option<Instant>,
    in_second: u32,
    suppressed: u64,
    is_telling: bool,
}

impl State {
    /// Whether one more line may be written in this second.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.in_second) = (Some(now), 0);
        }
        self.in_second < A_SECOND
    }

    /// Whether a line may be written: about a limit of this address, or `None` for another line.
    fn admit(&mut self, address: Option<String>, now: Instant) -> bool {
        let is_new = |told: &Instant| now.saturating_duration_since(*told) >= QUIET;
        let is_due = address.as_ref().is_none_or(|address| self.told.get(address).is_none_or(is_new));
        if !is_due || !self.has_room(now) {
            self.suppressed += 1;
            return false;
        }
        self.in_second += 1;
        if let Some(address) = address {
            // At most a thousand addresses get a line in the time that is looked back.
            if self.told.len() >= 2_000 {
                self.told.retain(|_, told| !is_new(told));
            }
            self.told.insert(address, now);
        }
        true
    }
}

fn key(address: Option<Address>) -> String {
    address.unwrap_or(Address::UNKNOWN).limit_key()
}

fn shown(address: Option<Address>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

impl RefusalLog {
    /// A proof was refused. `user` is whose account it was for, if there is such a user.
    pub fn refused(&self, what: Refused, user: Option<UserId>, actor: &Actor) {
        if !what.is_limited() && !self.admit(None) {
            return;
        }
        tracing::warn!(
            target: "rollcall::sign_in",
            reason = what.as_str(),
            client.ip = shown(actor.ip),
            user.id = user.map(|user| user.0),
            request.id = actor.request_id,
            "sign-in refused"
        );
    }

    /// A proof was not looked at, since this limit was reached.
    pub fn limited(&self, limit: &'static str, actor: &Actor) {
        if !self.admit(Some(key(actor.ip))) {
            return;
        }
        tracing::warn!(
            target: "rollcall::sign_in",
            limit,
            client.ip = shown(actor.ip),
            request.id = actor.request_id,
            "sign-in limited"
        );
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a line may be written. The first that may not has those that follow counted a minute later.
    fn admit(&self, address: Option<String>) -> bool {
        let mut state = self.state();
        if state.admit(address, Instant::now()) {
            return true;
        }
        if !std::mem::replace(&mut state.is_telling, true) {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(TELL).await;
                let mut state = this.state();
                state.is_telling = false;
                let suppressed = std::mem::take(&mut state.suppressed);
                tracing::warn!(target: "rollcall::sign_in", suppressed, "lines about sign-ins were held back");
            });
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_one_line_about_a_limit_in_ten_seconds() {
        let (mut state, start) = (State::default(), Instant::now());
        let mut at = |address: &str, seconds| state.admit(Some(key(Address::parse(address))), start + Duration::from_secs(seconds));
        assert_eq!([at("192.0.2.1", 0), at("192.0.2.1", 9), at("192.0.2.1", 10)], [true, false, true]);
        assert!(at("192.0.2.2", 10), "another address");
        assert!(at("2001:db8::1", 10) && !at("2001:db8::2", 11), "one line for a /64");
        assert!(at("2001:db8:0:1::1", 11));
        assert_eq!(state.suppressed, 2);
    }

    #[test]
    fn there_are_at_most_a_hundred_lines_a_second() {
        let (mut state, start) = (State::default(), Instant::now());
        let admitted = |state: &mut State, at: Instant| (0..500).filter(|_| state.admit(None, at)).count();
        assert_eq!(admitted(&mut state, start), 100);
        assert_eq!(admitted(&mut state, start + Duration::from_millis(999)), 0);
        assert_eq!(admitted(&mut state, start + Duration::from_secs(1)), 100);
        assert_eq!(state.suppressed, 400 + 500 + 400);
        let many =
            (0..100_000_u32).filter(|n| state.admit(Some(n.to_string()), start + Duration::from_secs(60 + u64::from(*n) / 100)));
        assert_eq!(many.count(), 100_000, "a hundred addresses a second");
        assert!(state.told.len() <= 2_000);
    }
}

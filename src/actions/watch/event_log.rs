//! When authentik's event log may be asked.

use std::time::{Duration, Instant};

use crate::config::EventsMode;
use crate::watch::Client;

/// An answer that takes longer is slow: counting events is the most costly question that authentik can be asked.
const SLOW: Duration = Duration::from_millis(500);
/// After this many slow answers in a row, or a refusal, the log is not asked for a while.
const PATIENCE: u32 = 3;
const REST: Duration = Duration::from_secs(3600);

/// When the event log may be asked.
#[derive(Default)]
pub(super) struct EventLog {
    slow: u32,
    rests_until: Option<Instant>,
}

impl EventLog {
    /// Whether it may be asked now.
    pub fn may_be_asked(&self) -> bool {
        self.rests_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Notes how long an answer took, and whether it was a refusal.
    pub fn note(&mut self, took: Duration, is_refused: bool) {
        self.slow = if took > SLOW { self.slow + 1 } else { 0 };
        if is_refused || self.slow >= PATIENCE {
            (self.slow, self.rests_until) = (0, Some(Instant::now() + REST));
        }
    }
}

/// Whether the settings permit to ask the log, and it may be asked now.
pub(super) fn may_ask(log: &EventLog, client: &Client) -> bool {
    client.source().events != EventsMode::Off && log.may_be_asked()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_log_rests() {
        let mut log = EventLog::default();
        for took in [600, 600, 10, 600, 600] {
            log.note(Duration::from_millis(took), false);
            assert!(log.may_be_asked());
        }
        log.note(Duration::from_millis(600), false);
        assert!(!log.may_be_asked());
        let mut log = EventLog::default();
        log.note(Duration::from_millis(1), true);
        assert!(!log.may_be_asked(), "the token may not read it");
    }
}

//! Refusals of users who are known: an event each, once a minute for a session, an application and a rule, so that they
//! fill neither disk nor log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::Timestamp;

/// For how long one more is not written.
const QUIET: i64 = 60 * 1_000_000;
/// The most that are remembered; then the older ones are forgotten.
const MOST: usize = 10_000;

/// Session, application and rule of a refusal.
type Which = (i64, i64, Option<usize>);

/// Refusals that events were written for.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<Which, Timestamp>>);

impl Refusals {
    /// Whether an event is due for a refusal now; if so, it is noted as written.
    pub fn is_due(&self, which: Which, now: Timestamp) -> bool {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An instant ahead of now was noted under another clock.
        let is_recent = |at: Timestamp| (0..QUIET).contains(&(now.0 - at.0));
        if written.get(&which).is_some_and(|at| is_recent(*at)) {
            return false;
        }
        if written.len() >= MOST {
            written.retain(|_, at| is_recent(*at));
            if written.len() >= MOST {
                return false;
            }
        }
        written.insert(which, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_a_minute_is_an_event() {
        let refusals = Refusals::default();
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        assert!(refusals.is_due((1, 1, None), at(100)));
        assert!(!refusals.is_due((1, 1, None), at(159)) && refusals.is_due((1, 1, Some(0)), at(159)));
        assert!(refusals.is_due((1, 1, None), at(160)));
        assert!(refusals.is_due((1, 1, None), at(100)), "the clock went back");
        for session in 0..20_000 {
            refusals.is_due((session, 2, None), at(200));
        }
        assert!(refusals.0.lock().unwrap().len() <= MOST);
        assert!(!refusals.is_due((30_000, 2, None), at(201)), "there is no more room");
        assert!(refusals.is_due((30_000, 2, None), at(300)));
    }
}

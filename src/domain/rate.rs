//! How often something may be done: so many times at once, and as many again over a time.

use std::time::Duration;

use crate::domain::Timestamp;

/// A limit such as 10 in 15 minutes: ten at once, then one each minute and a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    times: u32,
    period: Duration,
}

impl Rate {
    /// So many times in a period; `None` when one of them is zero, or one time takes no time.
    #[must_use]
    pub const fn new(times: u32, period: Duration) -> Option<Self> {
        if times == 0 || period.as_micros() < times as u128 {
            return None;
        }
        Some(Self { times, period })
    }

    /// How many times at once.
    #[must_use]
    pub fn times(self) -> u32 {
        self.times
    }

    /// One of so many equal parts of it, at least once in the period.
    #[must_use]
    pub fn part(self, of: u32) -> Self {
        Self { times: (self.times / of.max(1)).max(1), ..self }
    }

    /// What one time takes up.
    #[must_use]
    pub fn step(self) -> Duration {
        let micros = self.period.as_micros() / u128::from(self.times);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What so many times take up.
    #[must_use]
    pub fn steps(self, times: u32) -> Duration {
        self.step().saturating_mul(times)
    }

    /// The latest instant at which a limit may be as good as new, for one more time to fit at `now`.
    #[must_use]
    pub fn last_fit(self, now: Timestamp) -> Timestamp {
        now.plus(self.steps(self.times - 1))
    }

    /// The same for so many more times; `None` when they never fit.
    #[must_use]
    pub fn last_fit_of(self, times: u32, now: Timestamp) -> Option<Timestamp> {
        Some(now.plus(self.steps(self.times.checked_sub(times)?)))
    }

    /// The latest instant at which a limit can be as good as new after uses until `now`. A later one was stored by a
    /// clock that was ahead.
    #[must_use]
    pub fn latest(self, now: Timestamp) -> Timestamp {
        now.plus(self.steps(self.times))
    }

    /// How long to wait at `now` until one more time fits, where the limit is as good as new at
    /// `full_at`.
    #[must_use]
    pub fn wait(self, full_at: Timestamp, now: Timestamp) -> Duration {
        full_at.since(self.last_fit(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_fit_at_once_and_then_one_at_a_time() {
        let rate = Rate::new(10, Duration::from_secs(900)).unwrap();
        let now = Timestamp::parse("2026-11-01T12:00:00Z").unwrap();
        let (mut full_at, mut done) = (now, 0);
        while full_at <= rate.last_fit(now) {
            full_at = full_at.plus(rate.step());
            done += 1;
        }
        assert_eq!(done, 10);
        assert_eq!(rate.last_fit_of(1, now), Some(rate.last_fit(now)));
        assert_eq!(rate.last_fit_of(10, now), Some(now), "ten fit a limit that is as good as new");
        assert_eq!(rate.last_fit_of(11, now), None);
        assert_eq!(now.plus(rate.steps(10)), full_at);
        assert_eq!(rate.wait(full_at, now), Duration::from_secs(90));
        let later = now.plus(Duration::from_secs(90));
        assert!(full_at <= rate.last_fit(later) && full_at.plus(rate.step()) > rate.last_fit(later));
        assert_eq!(rate.wait(now, now), Duration::ZERO);
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(Rate::new(0, Duration::from_secs(1)), None);
        assert_eq!(Rate::new(1, Duration::ZERO), None);
        assert!(Rate::new(1, Duration::from_secs(1)).is_some());
    }
}

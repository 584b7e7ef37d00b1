//! Rate limits with a continuous refill: a number of uses at once, refilled over a period.

use std::time::Duration;

use crate::domain::Timestamp;

/// A rate limit such as 10 in 15 minutes: ten uses at once, then one every 90 seconds. Its state is
/// one instant, `full_at`: when it is full again. Each use moves that instant by one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    times: u32,
    period: Duration,
}

impl Rate {
    /// `times` uses in `period`; `None` when one of them is zero, or the period is shorter than
    /// `times` microseconds.
    #[must_use]
    pub const fn new(times: u32, period: Duration) -> Option<Self> {
        if times == 0 || period.as_micros() < times as u128 {
            return None;
        }
        Some(Self { times, period })
    }

    /// The number of uses of a full limit.
    #[must_use]
    pub fn times(self) -> u32 {
        self.times
    }

    /// An equal share: a limit for one of `of` parts, with at least one use in the period.
    #[must_use]
    pub fn part(self, of: u32) -> Self {
        Self { times: (self.times / of.max(1)).max(1), ..self }
    }

    /// The time in which one use is refilled.
    #[must_use]
    pub fn step(self) -> Duration {
        let micros = self.period.as_micros() / u128::from(self.times);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The time in which `times` uses are refilled.
    #[must_use]
    pub fn steps(self, times: u32) -> Duration {
        self.step().saturating_mul(times)
    }

    /// The latest `full_at` with which one more use is allowed at `now`.
    #[must_use]
    pub fn last_fit(self, now: Timestamp) -> Timestamp {
        now.plus(self.steps(self.times - 1))
    }

    /// The latest `full_at` with which `times` more uses are allowed at `now`; `None` when they
    /// exceed a full limit.
    #[must_use]
    pub fn last_fit_of(self, times: u32, now: Timestamp) -> Option<Timestamp> {
        Some(now.plus(self.steps(self.times.checked_sub(times)?)))
    }

    /// The latest `full_at` that uses until `now` can lead to. A later one was stored under a clock
    /// that was ahead.
    #[must_use]
    pub fn latest(self, now: Timestamp) -> Timestamp {
        now.plus(self.steps(self.times))
    }

    /// How long to wait at `now` until one more use is allowed, for a limit that is full again at
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
        assert_eq!(rate.last_fit_of(10, now), Some(now), "a full limit allows ten");
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

//! A limit on log lines that strangers can cause, so that they cannot fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A rate limit on log lines of one kind, which counts the lines that it drops.
#[derive(Debug)]
pub struct LogLimit {
    most: u32,
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Option<Instant>,
    lines: u32,
    held_back: u64,
}

impl LogLimit {
    /// At most `most` lines per `period`.
    #[must_use]
    pub const fn new(most: u32, period: Duration) -> Self {
        Self { most, period, state: Mutex::new(State { since: None, lines: 0, held_back: 0 }) }
    }

    /// Ten lines a minute: enough to see what happens, and at most 15,000 a day.
    #[must_use]
    pub const fn ten_a_minute() -> Self {
        Self::new(10, Duration::from_secs(60))
    }

    /// Whether one more line may be written now. `Some(n)`: it may, and `n` lines were held back since
    /// the last one that was written.
    #[must_use]
    pub fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= self.period) {
            (state.since, state.lines) = (Some(now), 0);
        }
        if state.lines >= self.most {
            state.held_back += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_counted_and_told_with_the_next_one() {
        let (limit, start) = (LogLimit::new(2, Duration::from_secs(60)), Instant::now());
        let at = |seconds| limit.admit_at(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(2), at(59)], [Some(0), Some(0), None, None]);
        assert_eq!([at(60), at(61), at(62)], [Some(2), Some(0), None]);
        assert_eq!(at(200), Some(1));
    }
}

//! The bound on sessions that a token ends one by one: within a minute any number of one user, and a limited
//! number of all others together. A script for one person stays below it; a client that lost its filter does not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Timestamp, UserId};

/// How long ends are counted together: from the first one on.
pub const WINDOW: Duration = Duration::from_secs(60);

/// What a token has ended since its minute began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Burst {
    /// When the minute began, in microseconds since 1970.
    pub began_at: i64,
    /// How many sessions of each user.
    pub ended: BTreeMap<i64, u32>,
    /// Whether an end was refused in this minute.
    pub is_refused: bool,
}

/// What became of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done.
    Permitted,
    /// It may not, for so long.
    Refused(Duration),
}

impl Burst {
    /// Counts an end of a session of `user` at `now`, unless it would be one of other users too many: `most` are
    /// permitted. A minute that began in the future, by another clock, is over.
    pub fn count(&mut self, user: UserId, now: Timestamp, most: u32) -> Verdict {
        let began = Timestamp(self.began_at);
        if !began.is_near(now, WINDOW) || began > now {
            *self = Self { began_at: now.0, ..Self::default() };
        }
        let after = |id: i64, count: u32| if id == user.0 { count.saturating_add(1) } else { count };
        let mut counts: Vec<u32> = self.ended.iter().map(|(id, count)| after(*id, *count)).collect();
        if !self.ended.contains_key(&user.0) {
            counts.push(1);
        }
        let others = counts.iter().fold(0_u32, |sum, count| sum.saturating_add(*count)) - counts.iter().max().copied().unwrap_or(0);
        if others > most {
            self.is_refused = true;
            return Verdict::Refused(Timestamp(self.began_at).plus(WINDOW).since(now));
        }
        *self.ended.entry(user.0).or_default() += 1;
        Verdict::Permitted
    }

    /// How many sessions ended in this minute.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.ended.values().map(|count| u64::from(*count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    /// How many of these ends, all at once, are permitted.
    fn permitted(users: impl IntoIterator<Item = i64>, most: u32) -> usize {
        let mut burst = Burst::default();
        users.into_iter().filter(|user| burst.count(UserId(*user), NOW, most) == Verdict::Permitted).count()
    }

    #[test]
    fn one_user_does_not_count() {
        assert_eq!(permitted(vec![7; 500], 10), 500);
        assert_eq!(permitted(1..=100, 10), 11, "one, and ten others");
        assert_eq!(permitted((1..=100).chain(vec![1; 50]), 10), 61, "the one user goes on");
        assert_eq!(permitted(vec![1; 20].into_iter().chain(2..100), 10), 30);
        assert_eq!(permitted((0..100).map(|n| n % 3), 10), 44, "34 of one user, and ten of the two others");
        assert_eq!(permitted([1, 2], 0), 1);
    }

    #[test]
    fn a_minute_begins_with_the_first_end() {
        let mut burst = Burst::default();
        let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
        for user in 1..=11 {
            assert_eq!(burst.count(UserId(user), at(user.unsigned_abs()), 10), Verdict::Permitted);
        }
        assert_eq!(burst.count(UserId(12), at(21), 10), Verdict::Refused(Duration::from_secs(40)));
        assert_eq!(burst.count(UserId(12), at(60), 10), Verdict::Refused(Duration::from_secs(1)));
        assert!(burst.is_refused && burst.sessions() == 11);
        assert_eq!(burst.count(UserId(12), at(61), 10), Verdict::Permitted);
        assert!(!burst.is_refused && burst.sessions() == 1);
        assert_eq!(burst.count(UserId(13), at(0), 10), Verdict::Permitted, "the clock was set back");
        assert_eq!(burst.sessions(), 1);
    }
}

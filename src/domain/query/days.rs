//! Days of the search language: `2026-11-01`, `yesterday`, `>2026-11-01`, `yesterday..today`; all in UTC.

use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::facets::DAY;

/// A day's length.
const LENGTH: Duration = Duration::from_secs(86_400);

/// One day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// The day that begins at this instant.
    From(Timestamp),
    /// This number of days before the day of the question.
    Ago(u32),
}

/// A limit of a span of time: a day, of which it is the first or the last instant, or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A day.
    Day(Day),
    /// An instant.
    At(Timestamp),
}

/// A span of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// From the beginning of the first day to the end of the second.
    Between(Day, Day),
    /// After that day.
    After(Day),
    /// Before that day.
    Before(Day),
}

impl Day {
    /// Reads `today`, `yesterday` or `2026-11-01`; `None` when it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "today" => Some(Self::Ago(0)),
            "yesterday" => Some(Self::Ago(1)),
            text if text.len() == 10 => Timestamp::parse(text).map(Self::From),
            _ => None,
        }
    }

    /// Its first instant.
    #[must_use]
    pub fn begins(self, now: Timestamp) -> Timestamp {
        match self {
            Self::From(at) => at,
            Self::Ago(days) => Timestamp(now.0.div_euclid(DAY) * DAY).minus(LENGTH * days),
        }
    }

    /// Its last microsecond.
    #[must_use]
    pub fn ends(self, now: Timestamp) -> Timestamp {
        self.begins(now).plus(LENGTH.saturating_sub(Duration::from_micros(1)))
    }
}

impl Limit {
    /// Reads a day as [`Day::parse`] does, or an instant such as `2026-11-01T12:00:00Z`; `None` when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Day::parse(text).map(Self::Day).or_else(|| Timestamp::parse(text).map(Self::At))
    }

    /// The first instant of a span that begins with it.
    #[must_use]
    pub fn begins(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Day(day) => day.begins(now),
            Self::At(at) => at,
        }
    }

    /// The last instant of a span that ends with it.
    #[must_use]
    pub fn ends(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Day(day) => day.ends(now),
            Self::At(at) => at,
        }
    }
}

impl Days {
    /// Reads a span; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(day) = text.strip_prefix('>') {
            return Day::parse(day).map(Self::After);
        }
        if let Some(day) = text.strip_prefix('<') {
            return Day::parse(day).map(Self::Before);
        }
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        Some(Self::Between(Day::parse(from)?, Day::parse(to)?))
    }

    /// The first and the last instant, both included, for a question at `now`; `None`: open on that side.
    #[must_use]
    pub fn bounds(self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::Between(from, to) => (Some(from.begins(now)), Some(to.ends(now))),
            Self::After(day) => (Some(day.ends(now).plus(Duration::from_micros(1))), None),
            Self::Before(day) => (None, Some(day.begins(now).minus(Duration::from_micros(1)))),
        }
    }
}

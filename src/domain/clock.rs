//! Time, in whole microseconds, as PostgreSQL keeps it: a value reads back equal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::domain::clock_guard::{ClockGuard, Steady};

/// An instant: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// How far the clocks of two nodes may differ. A time that is further in the future was stored
/// under a wrong clock.
pub const AHEAD: Duration = Duration::from_secs(300);

/// The latest instant with a year of four digits: 9999-12-31T23:59:59.999999Z.
const LATEST: i64 = 253_402_300_799_999_999;
/// The earliest one: 0001-01-01T00:00:00Z.
const EARLIEST: i64 = -62_135_596_800_000_000;
/// 1970-01-01T00:00:00, from which instants count.
const EPOCH: jiff::civil::DateTime = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Timestamp {
    /// Adds a duration; the result is at most the end of the year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(LATEST))
    }

    /// Subtracts a duration; the result is at least the start of the year 1.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(EARLIEST))
    }

    /// The time from `earlier` to this instant; zero when this is the earlier one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds since 1970, as claims of tokens have them (RFC 7519, 2).
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whether this is less than `within` away from `now`, before or after it. Remembered times are
    /// compared this way, so that a clock that was ahead for a while does not make them last.
    #[must_use]
    pub fn is_near(self, now: Self, within: Duration) -> bool {
        now.since(self).max(self.since(now)) < within
    }

    /// Whether this is further ahead of `now` than clocks of two nodes may differ ([`AHEAD`]): it was stored by a clock
    /// that was ahead, or this one is behind.
    #[must_use]
    pub fn is_ahead(self, now: Self) -> bool {
        self.since(now) > AHEAD
    }

    /// Reads ISO 8601: a date (midnight), a date and time (UTC), or one with `Z` or an offset.
    /// Finer parts than microseconds are cut. `None` for anything else, for a named time zone, and
    /// for instants outside the years 1 to 9999 in UTC.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Not `jiff::Timestamp`: it ends 26 hours before the year 9999 does.
        let pieces = jiff::fmt::temporal::Pieces::parse(text.trim()).ok()?;
        if pieces.time_zone_annotation().is_some() {
            return None;
        }
        let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
        let offset = pieces.to_numeric_offset().map_or(0, |offset| i128::from(offset.seconds()));
        let nanos = civil.duration_since(EPOCH).as_nanos() - offset * 1_000_000_000;
        let micros = i64::try_from(nanos.div_euclid(1000)).ok()?;
        (EARLIEST..=LATEST).contains(&micros).then_some(Self(micros))
    }

    fn civil(self) -> Option<(jiff::civil::DateTime, i64)> {
        let seconds = self.0.div_euclid(1_000_000);
        let civil = match jiff::Timestamp::from_second(seconds) {
            Ok(instant) => jiff::tz::TimeZone::UTC.to_datetime(instant),
            Err(_) => EPOCH.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?,
        };
        Some((civil, self.0.rem_euclid(1_000_000)))
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601 in UTC with `Z`; six fractional digits, or none when they are all zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TimestampText::default().of(*self))
    }
}

/// The length of the longest text of an instant.
const TEXT: usize = "0000-00-00T00:00:00.000000Z".len();

/// A buffer for the text of an instant. It is faster than `format!`, and lists have hundreds.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampText([u8; TEXT]);

impl TimestampText {
    /// The text of this instant, as [`Display`](fmt::Display) gives it.
    pub fn of(&mut self, timestamp: Timestamp) -> &str {
        let buffer = &mut self.0;
        let Some((at, micros)) = timestamp.civil() else { return "0001-01-01T00:00:00Z" };
        *buffer = *b"0000-00-00T00:00:00.000000Z";
        let parts: [(usize, i64); 7] = [
            (4, at.year().into()),
            (7, at.month().into()),
            (10, at.day().into()),
            (13, at.hour().into()),
            (16, at.minute().into()),
            (19, at.second().into()),
            (26, micros),
        ];
        for (end, mut number) in parts {
            for digit in buffer.iter_mut().take(end).rev() {
                if number == 0 {
                    break;
                }
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        let text = if micros == 0 {
            let [.., point, _, _, _, _, _, _, _] = buffer;
            *point = b'Z';
            buffer.get(..TEXT - 7)
        } else {
            buffer.get(..)
        };
        text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(TimestampText::default().of(*self))
    }
}

/// The source of the time: the system's clock, or one that a test sets.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// A clock that keeps its time until it is set.
    Fixed(Arc<AtomicI64>),
    /// A clock whose jumps are noticed.
    Guarded(Arc<ClockGuard>),
}

impl Clock {
    /// A clock that shows `at` until [`Clock::set`] changes it.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.0)))
    }

    /// The system's clock, whose jumps are noticed: for a process that runs on.
    #[must_use]
    pub fn guarded() -> Self {
        Self::Guarded(Arc::new(ClockGuard::new(Self::System, Steady::system())))
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
            Self::System => Timestamp(jiff::Timestamp::now().as_microsecond()),
            Self::Fixed(micros) => Timestamp(micros.load(Ordering::SeqCst)),
            Self::Guarded(guard) => guard.now(),
        }
    }

    /// Sets a fixed clock, to a later or an earlier time. Does nothing to the system's clock.
    pub fn set(&self, at: Timestamp) {
        match self {
            Self::System => {}
            Self::Fixed(micros) => micros.store(at.0, Ordering::SeqCst),
            Self::Guarded(guard) => guard.set(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_of_a_second_or_none_are_written() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(1_500_000).to_string(), "1970-01-01T00:00:01.500000Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn reads_what_people_write() {
        let noon = Timestamp::parse("2026-11-01T12:00:00Z").unwrap();
        assert_eq!(noon.to_string(), "2026-11-01T12:00:00Z");
        assert_eq!(Timestamp::parse("2026-11-01T13:00:00+01:00"), Some(noon));
        assert_eq!(Timestamp::parse("2026-11-01T12:00:00"), Some(noon));
        assert_eq!(Timestamp::parse("2026-11-01").unwrap().to_string(), "2026-11-01T00:00:00Z");
        assert_eq!(Timestamp::parse("2026-11-01 12:00:00.1234567Z").unwrap().to_string(), "2026-11-01T12:00:00.123456Z");
        for bad in ["", "yesterday", "2026-13-01", "12:00", "99999-01-01T00:00:00Z", "2026-11-01[Europe/Berlin]"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_first_and_the_last_day_are_read_and_written() {
        for (text, written) in [
            ("9999-12-31", "9999-12-31T00:00:00Z"),
            ("9999-12-30T23:00:00Z", "9999-12-30T23:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
            ("9999-12-31T23:59:59+01:00", "9999-12-31T22:59:59Z"),
            ("0001-01-01", "0001-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00.000001Z", "0001-01-01T00:00:00.000001Z"),
            ("0001-01-01T00:00:00-01:00", "0001-01-01T01:00:00Z"),
        ] {
            let read = Timestamp::parse(text).unwrap();
            assert_eq!(read.to_string(), written, "{text}");
            assert_eq!(Timestamp::parse(&read.to_string()), Some(read));
        }
        assert_eq!(Timestamp(0).plus(Duration::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        for bad in ["0000-12-31", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "-0001-01-01", "9999-12-32"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_instant_far_ahead_is_not_near() {
        let (now, minute) = (Timestamp(1_000_000_000), Duration::from_secs(60));
        assert!(
            now.is_near(now, minute) && now.plus(minute / 2).is_near(now, minute) && now.minus(minute / 2).is_near(now, minute)
        );
        assert!(!now.plus(minute).is_near(now, minute) && !now.minus(minute).is_near(now, minute));
        assert!(!now.plus(AHEAD).is_ahead(now) && !now.minus(AHEAD * 2).is_ahead(now));
        assert!(now.plus(AHEAD + minute).is_ahead(now));
    }

    #[test]
    fn arithmetic_stops_at_the_edges() {
        let end = Timestamp(LATEST);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp(0).since(end), Duration::ZERO);
        assert_eq!(Timestamp(EARLIEST).minus(Duration::MAX), Timestamp(EARLIEST));
    }
}

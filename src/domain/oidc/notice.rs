//! What becomes of notices: messages to apps that a session of theirs ended. When one is tried again, and when no more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;
use crate::domain::application::guard::words;

/// For how long a node that took a notice has it.
pub const LEASE: Duration = Duration::from_secs(60);
/// The most requests that are under way to one app, from all nodes together.
pub const OF_AN_APP: i64 = 4;
/// The most notices that one app is sent in a second, by all nodes together.
pub const IN_A_SECOND: i64 = 100;
/// After this number of failures to connect in a row an app is unreachable: one notice tries it, and the others wait.
pub const UNREACHABLE: i64 = 5;
/// The waits after the first tries, in seconds; then one hour.
const WAITS: [u64; 5] = [5, 30, 120, 600, 1800];
/// The shortest and the longest wait that an app can ask for.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often a notice is sent that the app calls wrong.
const WRONG_TRIES: i64 = 5;

words! {
    /// Where a notice is.
    NoticeState {
        /// It is sent when its time comes.
        #[default]
        Waiting = "waiting",
        /// A node is sending it.
        Sending = "sending",
        /// The app has it.
        Delivered = "delivered",
        /// It was tried for as long as the settings say.
        GivenUp = "given_up",
        /// Somebody decided that it is not sent.
        Dropped = "dropped",
    }
}

/// A notice that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its key, which spreads the waits.
    pub id: i64,
    /// How often, this time included.
    pub tries: i64,
    /// When it was first tried.
    pub first_at: Timestamp,
}

/// What follows from a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The app has it.
    Delivered,
    /// It is tried again at this instant.
    Again(Timestamp),
    /// No more is tried.
    GivenUp,
}

/// What follows from a try. `status` is that of the app's answer, and `asked` its `Retry-After`; without an answer there is
/// none. It is tried for `retry_for`.
#[must_use]
pub fn judge(notice: Tried, status: Option<u16>, asked: Option<&str>, retry_for: Duration, now: Timestamp) -> Verdict {
    if status.is_some_and(|status| (200..300).contains(&status)) {
        return Verdict::Delivered;
    }
    let is_over = now.since(notice.first_at) >= retry_for;
    if is_over || (status == Some(400) && notice.tries >= WRONG_TRIES) {
        return Verdict::GivenUp;
    }
    let asked = asked.filter(|_| matches!(status, Some(429 | 503))).and_then(|text| retry_after(text, now));
    let wait = asked.map_or_else(|| spread(wait(notice.tries), notice.id), |asked| asked.clamp(SHORTEST_WAIT, LONGEST_WAIT));
    Verdict::Again(now.plus(wait))
}

/// How long to wait after this number of tries.
fn wait(tries: i64) -> Duration {
    let nth = usize::try_from(tries.saturating_sub(1)).unwrap_or(0);
    WAITS.get(nth).map_or(LONGEST_WAIT, |seconds| Duration::from_secs(*seconds))
}

/// A wait up to a fifth shorter or longer, so that many do not come at once.
fn spread(wait: Duration, id: i64) -> Duration {
    let hundredths = u32::try_from(id.rem_euclid(41)).unwrap_or(0);
    wait * (80 + hundredths) / 100
}

/// For how long an app is left alone after this number of failures to connect in a row; `None`: it is reachable.
#[must_use]
pub fn rest(failures: i64) -> Option<Duration> {
    (failures >= UNREACHABLE).then(|| wait(failures - UNREACHABLE + 1))
}

/// `Retry-After`: a number of seconds or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Timestamp(at.as_microsecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    /// In how many seconds it is tried again; `None`: no more.
    fn again(tries: i64, status: Option<u16>, asked: Option<&str>, age: i64) -> Option<u64> {
        let (now, first_at) = (at(2_000_000_000), at(2_000_000_000 - age));
        match judge(Tried { id: 20, tries, first_at }, status, asked, DAY, now) {
            Verdict::Again(then) => Some(then.since(now).as_secs()),
            _ => None,
        }
    }

    #[test]
    fn waits_grow_up_to_an_hour_and_differ_a_little() {
        assert_eq!([1, 2, 3, 4, 5, 6, 40].map(|tries| wait(tries).as_secs()), [5, 30, 120, 600, 1800, 3600, 3600]);
        let all: Vec<u64> = (0..100).map(|id| spread(Duration::from_secs(100), id).as_secs()).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&80), Some(&120)));
    }

    #[test]
    fn what_is_not_delivered_is_tried_for_as_long_as_the_settings_say() {
        let (now, tried) = (at(100), Tried { id: 1, tries: 1, first_at: at(100) });
        for status in [200, 204, 299] {
            assert_eq!(judge(tried, Some(status), None, DAY, now), Verdict::Delivered);
        }
        for status in [None, Some(302), Some(404), Some(500)] {
            assert_eq!((again(2, status, Some("7"), 40), again(9, status, None, 86_399)), (Some(30), Some(3600)), "{status:?}");
            assert_eq!(again(9, status, None, 86_400), None, "{status:?}");
        }
        assert_eq!((again(4, Some(400), None, 60), again(5, Some(400), None, 60)), (Some(600), None));
    }

    #[test]
    fn an_app_that_is_busy_says_when_it_wants_more() {
        for (asked, wait) in [("7", 7), ("0", 1), ("99999", 3600), ("soon", 5), ("-3", 5), ("Wed, 18 May 2033 03:33:50 GMT", 30)] {
            for status in [429, 503] {
                assert_eq!(again(1, Some(status), Some(asked), 0), Some(wait), "{asked}");
            }
        }
    }

    #[test]
    fn an_app_that_cannot_be_reached_is_left_alone_for_longer_and_longer() {
        let rests: Vec<Option<u64>> = (0..12).map(|failures| rest(failures).map(|rest| rest.as_secs())).collect();
        let rests: Vec<u64> = rests.into_iter().flatten().collect();
        assert_eq!(rests, [5, 30, 120, 600, 1800, 3600, 3600]);
    }
}

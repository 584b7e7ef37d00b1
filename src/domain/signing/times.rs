//! What a key does at a moment. It follows from times alone, so that nodes agree without a leader.
//!
//! A set has one key of each algorithm. It is published for a day before it signs, so that apps that keep the published
//! keys know it by then. It signs until the next set does. Then it is published until the last token that it signed is
//! over, and after that it is kept unpublished, to recognise the ID tokens that apps send when their users sign out.

use std::time::Duration;

use crate::domain::Timestamp;

/// How long a set is published before it signs.
pub const PUBLISHED_BEFORE: Duration = Duration::from_secs(24 * 3600);
/// How long a set is published after it signed: longer than the longest token, which lives for an hour, and the caches of
/// the published keys, which keep them for ten minutes.
const PUBLISHED_AFTER: Duration = Duration::from_secs(2 * 3600);
/// How long a set is kept after that.
pub const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// The times of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTimes {
    /// From when it is published.
    pub created_at: Timestamp,
    /// From when it signs.
    pub signs_at: Timestamp,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is published, and will sign.
    Next,
    /// It signs.
    Signs,
    /// It signed, and is published.
    Published,
    /// It signed, and is not published any more.
    Kept,
    /// It is of no use any more.
    Over,
}

impl KeyState {
    /// The word that is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Signs => "signs",
            Self::Published => "published",
            Self::Kept => "kept",
            Self::Over => "over",
        }
    }

    /// Whether it is in the published set.
    #[must_use]
    pub fn is_published(self) -> bool {
        matches!(self, Self::Next | Self::Signs | Self::Published)
    }
}

/// What a key does at `now`. `starts` are the instants at which all known sets begin to sign, in any order.
#[must_use]
pub fn state(key: KeyTimes, starts: &[Timestamp], now: Timestamp) -> KeyState {
    let earlier = starts.iter().any(|start| *start < key.signs_at);
    // The first set signs, whatever a clock that was set back says: something must.
    if key.signs_at > now && earlier {
        return KeyState::Next;
    }
    let Some(until) = starts.iter().filter(|start| **start > key.signs_at).min().copied().filter(|until| *until <= now) else {
        return KeyState::Signs;
    };
    match now.since(until) {
        since if since < PUBLISHED_AFTER => KeyState::Published,
        since if since < PUBLISHED_AFTER + KEPT => KeyState::Kept,
        _ => KeyState::Over,
    }
}

/// When the next set should begin to sign, if it is time to make it. `latest` is the instant at which the newest set does;
/// `None`: there is none. A `rotation` of zero: sets are made by hand.
#[must_use]
pub fn next_set(latest: Option<Timestamp>, rotation: Duration, now: Timestamp) -> Option<Timestamp> {
    let Some(latest) = latest else { return Some(now) };
    if rotation.is_zero() || latest > now {
        return None;
    }
    let wanted = latest.plus(rotation);
    let soonest = now.plus(PUBLISHED_BEFORE);
    (wanted <= soonest).then_some(wanted.max(soonest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(days: u32) -> Timestamp {
        Timestamp(1_800_000_000_000_000).plus(DAY * days)
    }

    fn key(created: u32, signs: u32) -> KeyTimes {
        KeyTimes { created_at: at(created), signs_at: at(signs) }
    }

    #[test]
    fn a_set_is_published_before_it_signs_and_after() {
        let starts = [at(0), at(90)];
        for (key, now, want) in [
            (key(0, 0), at(0), KeyState::Signs),
            (key(0, 0), at(89), KeyState::Signs),
            (key(89, 90), at(89), KeyState::Next),
            (key(89, 90), at(90), KeyState::Signs),
            (key(0, 0), at(90), KeyState::Published),
            (key(0, 0), at(90).plus(PUBLISHED_AFTER), KeyState::Kept),
            (key(0, 0), at(90).plus(PUBLISHED_AFTER + KEPT), KeyState::Over),
        ] {
            assert_eq!(state(key, &starts, now), want, "{now}");
        }
        assert_eq!(state(key(5, 5), &[at(5)], at(4)), KeyState::Signs, "the clock was set back");
    }

    #[test]
    fn exactly_one_set_signs_at_any_time() {
        let keys = [key(0, 0), key(89, 90), key(120, 121)];
        let starts = keys.map(|key| key.signs_at);
        for day in 0..400 {
            let signing = keys.iter().filter(|key| state(**key, &starts, at(day)) == KeyState::Signs).count();
            assert_eq!(signing, 1, "day {day}");
        }
    }

    #[test]
    fn the_next_set_is_made_a_day_before_its_time() {
        assert_eq!(next_set(None, DAY * 90, at(3)), Some(at(3)));
        assert_eq!(next_set(Some(at(0)), DAY * 90, at(88)), None);
        assert_eq!(next_set(Some(at(0)), DAY * 90, at(89)), Some(at(90)));
        assert_eq!(next_set(Some(at(0)), DAY * 90, at(200)), Some(at(201)), "no server ran in time");
        assert_eq!(next_set(Some(at(90)), DAY * 90, at(89)), None, "it is there, and does not sign yet");
        assert_eq!(next_set(Some(at(0)), Duration::ZERO, at(5000)), None, "by hand");
        assert_eq!(next_set(Some(at(0)), Duration::from_secs(1), at(1)), Some(at(2)), "it is published for a day all the same");
    }
}

//! The position up to which the change log is read.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::store::sessions::change_log::{Change, ChangeRow};

/// Many changes within this time after as many before are part of a very large end, or of an
/// import.
const BURST: Duration = Duration::from_millis(500);
/// The delay after which changes of a burst are read.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the end of a transaction may take: a position that stays empty longer belongs to one that was
/// rolled back.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far before the newest position a transaction in progress may still write.
pub(super) const WINDOW: i64 = 1000;

/// The position up to which the change log is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// The newest position that was read.
    pub last: i64,
    /// Earlier positions that were empty, and since when: a transaction under way may fill them.
    pub missing: Vec<(i64, Instant)>,
    /// How many steps of what comes next are applied.
    pub step: u32,
}

impl Position {
    /// Whether everything up to `last` is read.
    pub fn reaches(&self, last: i64) -> bool {
        self.missing.is_empty() && self.last >= last
    }

    /// Advances over rows of the log and returns what changed. `None`: the log does not reach back
    /// far enough, and all sessions must be read again.
    pub fn advance(&mut self, rows: &[ChangeRow], now: Instant) -> Option<Vec<Change>> {
        let is_there = rows.iter().any(|row| row.seq == self.last);
        let is_restarted = rows.iter().any(|row| row.seq > self.last && row.changes.is_empty());
        let newest = rows.iter().map(|row| row.seq).max().unwrap_or(self.last).max(self.last);
        if !is_there || is_restarted || newest - self.last > WINDOW + i64::try_from(rows.len()).unwrap_or(0) {
            return None;
        }
        let new = rows.iter().filter(|row| row.seq != self.last);
        let mut changes: Vec<Change> = new.flat_map(|row| row.changes.iter().copied()).collect();
        changes.sort_unstable();
        changes.dedup();
        let seen: HashSet<i64> = rows.iter().map(|row| row.seq).collect();
        self.missing.retain(|(seq, since)| !seen.contains(seq) && now.duration_since(*since) < PATIENCE);
        let missing = (self.last..newest).filter(|seq| !seen.contains(seq)).map(|seq| (seq, now));
        self.missing.extend(missing);
        (self.last, self.step) = (newest, 0);
        Some(changes)
    }
}

/// Detects bursts. During a very large end, reading each change as it comes would take as much
/// processor time as the end itself; so changes are read in one go some seconds later, and SQL
/// answers until then.
#[derive(Default)]
pub(super) struct Bursts {
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Bursts {
    /// Whether a burst is in progress.
    pub fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Notes that many changes came. Returns whether that is a burst: then the changes are read
    /// later.
    pub fn note(&mut self, now: Instant) -> bool {
        let goes_on = self.last.is_some_and(|last| now.duration_since(last) < BURST);
        self.last = Some(now);
        if goes_on {
            self.until = Some(now + PAUSE);
            self.last = None;
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_in_a_burst_are_read_together() {
        let (mut bursts, start) = (Bursts::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!bursts.note(at(0)) && !bursts.is_on(at(0)), "one is read as it comes");
        assert!(!bursts.note(at(1000)), "and so are those far between");
        assert!(bursts.note(at(1200)));
        assert!(bursts.is_on(at(1200)) && bursts.is_on(at(6100)));
        assert!(!bursts.is_on(at(6200)));
        assert!(!bursts.note(at(6200)), "then all are read together");
    }

    #[test]
    fn a_position_that_is_empty_is_asked_for_again() {
        let now = Instant::now();
        let row = |seq| ChangeRow { seq, changes: vec![Change::Session(seq)] };
        let mut position = Position { last: 5, ..Position::default() };
        assert_eq!(position.advance(&[row(5), row(8)], now), Some(vec![Change::Session(8)]));
        assert_eq!(position.missing.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [6, 7]);
        assert!(!position.reaches(8), "what was acknowledged before may be there");
        assert_eq!(position.advance(&[row(6), row(7), row(8)], now), Some(vec![Change::Session(6), Change::Session(7)]));
        assert!(position.reaches(8) && !position.reaches(9));
        assert_eq!(position.advance(&[row(9)], now), None, "the row it stood at is gone");
    }
}

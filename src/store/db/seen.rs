//! The newest position of the change log that this node has read, and when.
//!
//! Every statement that reads the position notes it. A list that was requested before that
//! statement began need not read the log again: every change that was acknowledged before the
//! request is at or before that position.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The newest position that was read.
#[derive(Default)]
pub(in crate::store) struct SeenLog(Mutex<Option<Seen>>);

#[derive(Clone, Copy)]
struct Seen {
    position: i64,
    /// When the statement that read it began.
    began: Instant,
}

impl SeenLog {
    /// Notes a position, read by a statement that began at `began`.
    pub fn note(&self, position: i64, began: Instant) {
        let mut seen = self.lock();
        if seen.is_none_or(|seen| seen.began <= began) {
            *seen = Some(Seen { position, began });
        }
    }

    /// The newest position, if it was read by a statement that began at `instant` or later.
    pub fn since(&self, instant: Instant) -> Option<i64> {
        self.lock().filter(|seen| seen.began >= instant).map(|seen| seen.position)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_position_read_before_the_question_does_not_count() {
        let (seen, start) = (SeenLog::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(seen.since(start), None);
        seen.note(7, at(10));
        assert_eq!((seen.since(at(10)), seen.since(at(11))), (Some(7), None));
        seen.note(6, at(5));
        assert_eq!(seen.since(at(10)), Some(7), "an older reading changes nothing");
        seen.note(9, at(20));
        assert_eq!(seen.since(at(11)), Some(9));
    }
}

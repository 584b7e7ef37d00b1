//! Remembers which changes of address have an event, so that each is written once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::{Address, Timestamp};

/// The most sessions whose last move is remembered.
const MOST: usize = 10_000;
/// The shortest time between two events about moves of one session: a client with a session and many
/// addresses must not fill the events.
const PAUSE: Duration = Duration::from_secs(60);

/// Moves that have an event, so that further requests from the same address do not write another
/// one.
#[derive(Default)]
pub struct Moves(Mutex<HashMap<i64, (Address, Timestamp)>>);

impl Moves {
    /// Whether this move needs an event; it counts as written from now on.
    pub(in crate::actions) fn is_new(&self, session: i64, to: Address, now: Timestamp) -> bool {
        let mut moves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, at)) = moves.get(&session)
            && (*known == to || at.is_near(now, PAUSE))
        {
            return false;
        }
        if moves.len() >= MOST {
            moves.clear();
        }
        moves.insert(session, (to, now));
        true
    }
}

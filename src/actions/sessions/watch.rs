//! Streamed answers, which last as long as their viewer keeps the page open: how many there may be,
//! and when they end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::SessionId;

/// The most streams at once.
pub const MOST: usize = 128;
/// The most streams of one session. Browsers open six connections to a host: with four streams, two
/// are left for everything else.
pub const MOST_OF_SESSION: usize = 4;

/// The open streams.
pub struct Streams {
    places: Arc<Mutex<HashMap<SessionId, usize>>>,
    closing: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { places: Arc::default(), closing: watch::Sender::new(false) }
    }
}

/// A permit for a stream; given back when dropped.
pub struct StreamPlace {
    places: Arc<Mutex<HashMap<SessionId, usize>>>,
    session: SessionId,
    closing: watch::Receiver<bool>,
}

impl Streams {
    /// Takes a permit for a session; `None` when its limit or the limit of all is reached.
    #[must_use]
    pub fn enter(&self, session: SessionId) -> Option<StreamPlace> {
        let mut places = lock(&self.places);
        let (all, own) = (places.values().sum::<usize>(), places.get(&session).copied().unwrap_or(0));
        if all >= MOST || own >= MOST_OF_SESSION {
            return None;
        }
        places.insert(session, own + 1);
        Some(StreamPlace { places: Arc::clone(&self.places), session, closing: self.closing.subscribe() })
    }

    /// Ends all streams, so that a stopping server does not wait for them.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }
}

impl StreamPlace {
    /// Waits for some time; returns whether the stream should continue after it.
    pub async fn wait(&mut self, time: std::time::Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            _ = self.closing.wait_for(|is_closing| *is_closing) => false,
        }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut places = lock(&self.places);
        if let Some(own) = places.get_mut(&self.session) {
            *own -= 1;
            if *own == 0 {
                places.remove(&self.session);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let streams = Streams::default();
        let session = |n: u128| SessionId(uuid::Uuid::from_u128(n));
        let own: Vec<_> = (0..MOST_OF_SESSION).map(|_| streams.enter(session(0)).unwrap()).collect();
        assert!(streams.enter(session(0)).is_none() && streams.enter(session(1)).is_some());
        drop(own);
        let mut all: Vec<_> = (0..MOST as u128).map(|n| streams.enter(session(n)).unwrap()).collect();
        assert!(streams.enter(session(999)).is_none());
        streams.close();
        assert!(!all.pop().unwrap().wait(std::time::Duration::from_secs(60)).await);
        drop(all);
        assert!(lock(&streams.places).is_empty());
    }
}

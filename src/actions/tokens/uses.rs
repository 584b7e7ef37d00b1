//! When tokens were last used. It is written in the background: no request waits for it or fails with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::core::Core;
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::people::tokens::TokenOwner;

/// How old the last use of a token is at least when it is written again.
const USE_STEP: Duration = Duration::from_secs(300);
/// The most tokens that are remembered. Beyond them all are forgotten, and written once more.
const MOST: usize = 100_000;

/// When this process last tried to write the use of each token.
#[derive(Debug, Default)]
pub struct TokenUses(Mutex<HashMap<i64, Timestamp>>);

impl TokenUses {
    /// Notes that a token was used, at most once in five minutes for each, and never with `sessions.touch_interval` 0. A
    /// write that fails is tried again after five minutes: a database that cannot be written is still read.
    pub fn note(&self, core: &Arc<Core>, owner: &TokenOwner) {
        let (id, now) = (owner.token_id, core.clock.now());
        let is_noted = owner.last_used_at.is_some_and(|used| used.is_near(now, USE_STEP));
        if is_noted || core.config.sessions.touch_interval.is_zero() || !self.begin(id, now) {
            return;
        }
        let core = Arc::clone(core);
        tokio::spawn(async move {
            let written: Result<(), StoreError> =
                core.store.write_soon(move |db| Box::pin(async move { db.update_token_used(id, now).await })).await;
            if let Err(error) = written {
                tracing::debug!(%error, "the last use of a token was not written");
            }
        });
    }

    /// Whether a use at `now` is to be written; then it counts as tried.
    fn begin(&self, token: i64, now: Timestamp) -> bool {
        let mut tried = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tried.get(&token).is_some_and(|at| at.is_near(now, USE_STEP)) {
            return false;
        }
        if tried.len() >= MOST {
            tried.clear();
        }
        tried.insert(token, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_tried_once_in_five_minutes_for_each_token() {
        let (uses, now) = (TokenUses::default(), Timestamp(1_790_000_000_000_000));
        let later = |seconds| now.plus(Duration::from_secs(seconds));
        assert_eq!(
            [(1, now), (1, later(299)), (2, now), (1, later(301))].map(|(id, at)| uses.begin(id, at)),
            [true, false, true, true]
        );
    }
}

//! One batch of guesses: what concurrent requests take from their limits and give back, in one
//! write.

use std::collections::HashSet;
use std::sync::Arc;

use crate::actions::batching::Batch;
use crate::core::Core;
use crate::domain::{HashedSecret, Rate, Timestamp};
use crate::store::{BoxFuture, Db, StoreError};

/// Limits as the store takes them.
pub type Keyed = Vec<(HashedSecret, Rate)>;

/// What one request asks of its limits.
#[derive(Debug)]
pub enum Ask {
    /// Takes a guess from each of these, or from none ([`Db::take_guesses`]).
    Take(Keyed),
    /// Gives one back to each.
    GiveBack(Keyed),
}

/// The most requests in one batch.
pub const MOST_IN_BATCH: usize = 64;

/// The limits that a guess was taken from; empty when one of its limits is used up. `None` for
/// [`Ask::GiveBack`], and when the limits hold some guesses but too few for all requests of the
/// batch: such a request tries again alone.
pub type Taking = Option<Vec<HashedSecret>>;

/// Gives guesses back and takes others, for all requests of a batch.
#[must_use]
pub fn ask_all(core: Arc<Core>, batch: Batch<Ask, Taking>) -> BoxFuture<'static, Result<Vec<Taking>, StoreError>> {
    Box::pin(async move {
        let clock = core.clock.clone();
        core.store.write_soon(move |db| Box::pin(async move { answer(db, batch.take(), clock.now()).await })).await
    })
}

/// Answers each request. A batch with one `Take` may be given a part of its limits; with more than
/// one, each is given all of its limits or none.
async fn answer(db: &Db<'_>, asked: Vec<Ask>, now: Timestamp) -> Result<Vec<Taking>, StoreError> {
    let (mut given, mut wished) = (Vec::new(), Vec::new());
    for ask in &asked {
        match ask {
            Ask::GiveBack(limits) => given.extend_from_slice(limits),
            Ask::Take(limits) => wished.push(limits),
        }
    }
    db.give_guesses_back(&given).await?;
    let is_alone = wished.len() == 1;
    // With more than one `Take`, a request that is refused must take nothing from limits that it
    // shares with others.
    let full = match wished.as_slice() {
        [] | [_] => HashSet::new(),
        all => db.list_exhausted(&all.iter().copied().flatten().copied().collect::<Keyed>(), now).await?,
    };
    let is_refused = |limits: &Keyed| limits.iter().any(|(key, _)| full.contains(key));
    let fit: Keyed = wished.into_iter().filter(|limits| !is_refused(limits)).flatten().copied().collect();
    let taken = if is_alone { db.take_guesses(&fit, now).await? } else { db.take_many_guesses(&fit, now).await? };
    let (taken, mut given) = (taken.into_iter().collect::<HashSet<_>>(), Vec::new());
    let mut answers = Vec::with_capacity(asked.len());
    for ask in asked {
        answers.push(match ask {
            Ask::GiveBack(_) => None,
            Ask::Take(limits) if is_refused(&limits) => Some(Vec::new()),
            Ask::Take(limits) => {
                let (had, lacked): (Keyed, Keyed) = limits.into_iter().partition(|(key, _)| taken.contains(key));
                if lacked.is_empty() || is_alone {
                    Some(had.into_iter().map(|(key, _)| key).collect())
                } else {
                    given.extend(had);
                    None
                }
            }
        });
    }
    db.give_guesses_back(&given).await?;
    Ok(answers)
}

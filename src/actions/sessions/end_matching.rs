//! Ending all sessions that match a filter: seen first, counted, then ended in chunks.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::actions::sessions::bulk_end::ManyEnds;
use crate::actions::sessions::end;
use crate::domain::caller::Actor;
use crate::domain::listing::SessionFilter;
use crate::domain::{EndReason, SessionId};
use crate::store::StoreError;
use crate::store::sessions::end::MatchingEnd;

/// The longest comment, in characters.
pub const MAX_COMMENT_LENGTH: usize = 500;
/// For how long one call goes on: less than a request may take.
const TURN: std::time::Duration = std::time::Duration::from_secs(45);

/// What to end.
#[derive(Clone, Debug, Default)]
pub struct Revocation {
    /// Those that match.
    pub filter: SessionFilter,
    /// But for this one.
    pub except: Option<SessionId>,
    /// How many whoever asks believes there are; `None`: however many.
    pub expected: Option<u64>,
    /// Why, in their words, or `""`.
    pub comment: String,
}

/// Why not all, or none, of what matches was ended.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// There are more or fewer than was believed; nothing was ended.
    #[error("{0} sessions match, not as many as expected; nothing was ended")]
    Changed(u64),
    /// Some were ended, in transactions of their own, before it went wrong or took too long.
    #[error("{ended} sessions were ended, {remaining} are left: {why}")]
    Stopped {
        /// How many were ended.
        ended: u64,
        /// How many are left.
        remaining: u64,
        /// What went wrong.
        why: String,
    },
    /// Nothing was begun.
    #[error(transparent)]
    Action(#[from] ActionError),
}

impl From<StoreError> for RevocationError {
    fn from(error: StoreError) -> Self {
        Self::Action(error.into())
    }
}

/// Whether so many sessions are near enough to what was expected: sessions come and go between a
/// look and an act, so one in a hundred may have, and of fewer than a hundred none.
#[must_use]
pub fn is_near(count: u64, expected: u64) -> bool {
    count.abs_diff(expected) <= expected / 100
}

/// Whether a text may be a comment: not too long, and nothing that would forge a line of a log.
#[must_use]
pub fn is_comment(text: &str) -> bool {
    text.chars().count() <= MAX_COMMENT_LENGTH && !text.chars().any(char::is_control)
}

/// Ends what matches and the caller may end.
///
/// # Errors
/// [`ActionError::Forbidden`] when the caller may see some of it and not end it; else as for
/// [`revoke_matching`].
pub async fn revoke_permitted(app: &App, who: &Principal, mut what: Revocation, actor: &Actor) -> Result<u64, RevocationError> {
    what.filter.visible_to = who.visible();
    if who.visible().is_none() && !who.rights.may_delete_sessions {
        let own = SessionFilter { visible_to: Some(who.user_id), ..what.filter.clone() };
        let (all, own_ids) = (find(app, &what.filter, what.except).await?, find(app, &own, what.except).await?);
        if all.ids.len() != own_ids.ids.len() {
            return Err(ActionError::Forbidden.into());
        }
        what.filter = own;
    }
    revoke_matching(app, what, actor).await
}

/// Ends what matches, whoever's it is, and gives how many that were: for the command line, whose user
/// holds the database itself. A session that begins meanwhile, or matches no longer when its turn
/// comes, stays.
///
/// # Errors
/// [`RevocationError::Changed`] and [`RevocationError::Stopped`].
pub async fn revoke_matching(app: &App, what: Revocation, actor: &Actor) -> Result<u64, RevocationError> {
    let began = tokio::time::Instant::now();
    let matching = find(app, &what.filter, what.except).await?;
    let count = number(matching.ids.len());
    if what.expected.is_some_and(|expected| !is_near(count, expected)) {
        return Err(RevocationError::Changed(count));
    }
    let mut ends = ManyEnds::of(count, app, EndReason::Revoked, &what.comment, actor);
    let mut ids = matching.ids.as_slice();
    while !ids.is_empty() {
        let (ended, remaining) = (ends.ended, number(ids.len()));
        let stopped = |why: String| RevocationError::Stopped { ended, remaining, why };
        if began.elapsed() > TURN {
            return Err(stopped("it took too long".into()));
        }
        let (now, later) = ids.split_at(ends.chunk().min(ids.len()));
        let end = MatchingEnd::new(&matching, &what.filter, what.except);
        ends.end_matching(now, end).await.map_err(|error| stopped(error.to_string()))?;
        ids = later;
    }
    Ok(ends.ended)
}

/// Ends the sessions named one by one, and gives how many there were.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller may see and end everybody's sessions.
pub async fn revoke_named(
    app: &App,
    who: &Principal,
    ids: &[SessionId],
    comment: &str,
    actor: &Actor,
) -> Result<u64, RevocationError> {
    who.must_see_all()?;
    if !who.rights.may_delete_sessions {
        return Err(ActionError::Forbidden.into());
    }
    Ok(end::revoke_listed(app, ids, comment, actor).await?)
}

/// What matches now. It may be much, so it is read beside what others wait for.
async fn find(
    app: &App,
    filter: &SessionFilter,
    except: Option<SessionId>,
) -> Result<crate::store::sessions::end::Matching, StoreError> {
    let filter = filter.clone();
    app.store.long_read(move |db| Box::pin(async move { db.list_matching(&filter, except).await })).await
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_hundred_may_come_or_go() {
        assert!(is_near(3, 3) && !is_near(4, 3) && !is_near(2, 3) && is_near(0, 0) && !is_near(1, 0));
        assert!(is_near(101, 100) && is_near(99, 100) && !is_near(102, 100) && !is_near(98, 100));
        assert!(is_near(1_010_000, 1_000_000) && !is_near(1_010_001, 1_000_000));
    }
}

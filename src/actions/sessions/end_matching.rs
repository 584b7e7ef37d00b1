//! Ends all sessions that match a filter: they are counted, compared with the expected number, and
//! ended in chunks.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::principal::Principal;
use crate::actions::sessions::bulk_end::{Many, ManyEnds};
use crate::actions::sessions::end;
use crate::domain::caller::Actor;
use crate::domain::event::FilterTerms;
use crate::domain::listing::SessionFilter;
use crate::domain::{EndReason, SessionId, Timestamp};
use crate::store::StoreError;
use crate::store::sessions::end::{Matching, MatchingEnd};

/// The longest comment, in characters.
pub const MAX_COMMENT_LENGTH: usize = 500;
/// The time limit of one call: less than a request may take.
const TURN: std::time::Duration = std::time::Duration::from_secs(45);

/// What to end.
#[derive(Clone, Debug, Default)]
pub struct EndRequest {
    /// Those that match this filter.
    pub filter: SessionFilter,
    /// Except this one.
    pub except: Option<SessionId>,
    /// The number that the caller expects; `None`: any number.
    pub expected: Option<u64>,
    /// A comment for events and ended sessions, or `""`.
    pub comment: String,
}

/// Why not all matches were ended, or none.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// The number of matches is not the expected one; nothing was ended.
    #[error("{0} sessions match, not as many as expected; nothing was ended")]
    Changed(u64),
    /// Some were ended, in transactions of their own, before an error or the time limit stopped it.
    #[error("{ended} sessions were ended, {remaining} are left: {why}")]
    Stopped {
        /// How many were ended.
        ended: u64,
        /// How many are left.
        remaining: u64,
        /// What went wrong.
        why: String,
    },
    /// Nothing was ended.
    #[error(transparent)]
    Action(#[from] ActionError),
}

impl From<StoreError> for EndError {
    fn from(error: StoreError) -> Self {
        Self::Action(error.into())
    }
}

/// Whether a number of sessions is close enough to the expected one: within 1 %, since sessions
/// begin and end between the count and the end; below a hundred it must be equal.
#[must_use]
pub fn is_near(count: u64, expected: u64) -> bool {
    count.abs_diff(expected) <= expected / 100
}

/// Whether a text may be a comment: not too long, and without characters that would forge a line of
/// a log.
#[must_use]
pub fn is_comment(text: &str) -> bool {
    text.chars().count() <= MAX_COMMENT_LENGTH && !text.chars().any(char::is_control)
}

/// Ends all matches that the caller may end.
///
/// # Errors
/// [`ActionError::Forbidden`] when the caller may see some of the matches and not end them; else as
/// for [`end_matching`].
pub async fn end_permitted(app: &App, who: &Principal, mut what: EndRequest, actor: &Actor) -> Result<u64, EndError> {
    must_be_of_rollcall(&what.filter)?;
    what.filter.visible_to = who.visible();
    if who.visible().is_none() && !who.rights.may_delete_sessions {
        let own = SessionFilter { visible_to: Some(who.user_id), ..what.filter.clone() };
        let all = find(app, &what.filter, what.except, None).await?;
        let own_ids = find(app, &own, what.except, None).await?;
        if all.ids.len() != own_ids.ids.len() {
            return Err(ActionError::Forbidden.into());
        }
        what.filter = own;
    }
    end_all_matching(app, what, actor).await
}

/// Ends all matches, of any user, and returns how many sessions ended: for the command line, which
/// has full access. A session that begins in the meantime, or does not match any more when it would
/// be ended, stays.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; [`EndError::Changed`] and [`EndError::Stopped`].
pub async fn end_matching(app: &App, by: By<'_>, what: EndRequest) -> Result<u64, EndError> {
    by.must_operate()?;
    must_be_of_rollcall(&what.filter)?;
    end_all_matching(app, what, &by.actor()).await
}

/// Sessions of the watched authentik are ended there ([`crate::actions::watch::many`]).
///
/// # Errors
/// [`ActionError::Elsewhere`].
pub(in crate::actions) fn must_be_of_rollcall(filter: &SessionFilter) -> Result<(), ActionError> {
    if filter.is_of_rollcall() { Ok(()) } else { Err(ActionError::Elsewhere) }
}

async fn end_all_matching(app: &App, what: EndRequest, actor: &Actor) -> Result<u64, EndError> {
    let matching = find_expected(app, &what).await?;
    let filter = record(app, &what.filter, what.except).await?;
    let expected = number(matching.ids.len());
    let many = Many { filter: &filter, expected, reason: EndReason::Revoked, comment: &what.comment };
    let mut ends = ManyEnds::begin(app, many, actor).await?;
    let ended = end_these(&mut ends, &what, &matching, &|_| false).await;
    let finished = ends.finish().await;
    ended?;
    Ok(finished?)
}

/// The matches, if their number is close to the expected one.
///
/// # Errors
/// [`EndError::Changed`].
pub(in crate::actions) async fn find_expected(app: &App, what: &EndRequest) -> Result<Matching, EndError> {
    let matching = find(app, &what.filter, what.except, None).await?;
    let count = number(matching.ids.len());
    if what.expected.is_some_and(|expected| !is_near(count, expected)) {
        return Err(EndError::Changed(count));
    }
    Ok(matching)
}

/// Called with the number of sessions ended so far; returns whether to stop.
pub(in crate::actions) type Watch<'w> = &'w (dyn Fn(u64) -> bool + Sync);

/// Ends the sessions that matched, for at most as long as a request may take.
///
/// # Errors
/// [`EndError::Stopped`].
pub(in crate::actions) async fn end_these(
    ends: &mut ManyEnds<'_>,
    what: &EndRequest,
    matching: &Matching,
    watch: Watch<'_>,
) -> Result<(), EndError> {
    let began = tokio::time::Instant::now();
    let mut ids = matching.ids.as_slice();
    while !ids.is_empty() {
        let (ended, remaining) = (ends.ended(), number(ids.len()));
        let stopped = |why: String| EndError::Stopped { ended, remaining, why };
        if began.elapsed() > TURN {
            return Err(stopped("it took too long".into()));
        }
        if watch(ended) {
            return Err(stopped("the server is stopping".into()));
        }
        let (now, later) = ids.split_at(ends.chunk().min(ids.len()));
        let end = MatchingEnd::new(matching, &what.filter, what.except);
        ends.end_matching(now, end).await.map_err(|error| stopped(error.to_string()))?;
        ids = later;
    }
    watch(ends.ended());
    Ok(())
}

/// A filter for events: users by name, since history does not refer to users by primary key.
pub(in crate::actions) async fn record(
    app: &App,
    filter: &SessionFilter,
    except: Option<SessionId>,
) -> Result<FilterTerms, StoreError> {
    let mut terms = SessionFilter { user: None, visible_to: None, ..filter.clone() }.terms();
    if let Some(id) = filter.user.or(filter.visible_to) {
        let name = app.store.read().find_user(id).await?.map(|user| user.username);
        terms.entry("username".to_owned()).or_insert_with(|| name.unwrap_or_default());
    }
    terms.extend(except.map(|id| ("except".to_owned(), id.to_string())));
    Ok(terms)
}

/// Ends the sessions with these UUIDs, and returns how many there were.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller may see and end everybody's sessions.
pub async fn end_named(app: &App, who: &Principal, ids: &[SessionId], comment: &str, actor: &Actor) -> Result<u64, EndError> {
    who.must_see_all()?;
    if !who.rights.may_delete_sessions {
        return Err(ActionError::Forbidden.into());
    }
    Ok(end::end_all_listed(app, ids, comment, actor).await?)
}

/// The current matches.
pub(in crate::actions) async fn find(
    app: &App,
    filter: &SessionFilter,
    except: Option<SessionId>,
    until: Option<Timestamp>,
) -> Result<Matching, StoreError> {
    app.store.list_matching(filter, except, until).await
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

//! Ends of many sessions that go on beside the request that began them, and how they came out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::actions::sessions::end_matching;
use crate::actions::sessions::end_matching::{Revocation, RevocationError};
use crate::domain::caller::Actor;
use crate::domain::listing::SessionFilter;
use crate::domain::{SessionId, UserId, secret};
use crate::store::StoreError;
use crate::store::sessions::end_job::NewEnding;

/// How often it is written down how far one is.
const TICK: Duration = Duration::from_secs(1);
/// One of which nothing was heard for so long is not going on: its server is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// What to end.
#[derive(Clone, Debug)]
pub enum Target {
    /// What matches.
    Matching(Box<SessionFilter>),
    /// These.
    Named(Vec<SessionId>),
}

/// One of them, where it runs.
pub struct EndingJob {
    /// What names it.
    pub name: String,
    /// What it ends.
    target: Target,
    /// How many there were.
    total: u64,
    /// Why, in words, or `""`.
    pub comment: String,
    state: Mutex<EndingState>,
}

/// One of them, as it is known everywhere.
pub struct Ending {
    /// How many there were.
    pub total: u64,
    /// Why, in words, or `""`.
    pub comment: String,
    /// How far it is.
    pub state: EndingState,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndingState {
    /// It goes on: about so many were ended.
    Running(u64),
    /// It is through: so many were ended.
    Done(u64),
    /// There were more or fewer than was believed, and nothing was ended: so many.
    Changed(u64),
    /// Something went wrong on the way: so many were ended, so many are left.
    Stopped {
        /// How many were ended.
        ended: u64,
        /// How many are left.
        remaining: u64,
    },
}

const RUNNING: &str = "running";
const DONE: &str = "done";
const CHANGED: &str = "changed";
const STOPPED: &str = "stopped";

impl EndingState {
    /// As it is stored: in a word, with how many were ended, and how many are left of `total`.
    fn stored(&self, total: u64) -> (&'static str, (i64, i64)) {
        let (word, ended, remaining) = match *self {
            Self::Running(ended) => (RUNNING, ended, total.saturating_sub(ended)),
            Self::Done(ended) => (DONE, ended, 0),
            Self::Changed(count) => (CHANGED, 0, count),
            Self::Stopped { ended, remaining } => (STOPPED, ended, remaining),
        };
        (word, (number(ended), number(remaining)))
    }
}

impl EndingJob {
    /// How far it is.
    #[must_use]
    pub fn state(&self) -> EndingState {
        lock(&self.state).clone()
    }
}

/// One that this user began, on whichever node.
///
/// # Errors
/// [`ActionError::NotFound`].
pub async fn find(app: &App, name: &str, by: UserId) -> Result<Ending, ActionError> {
    let row = app.store.read().find_ending(name, by).await?.ok_or(ActionError::NotFound)?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let (ended, remaining) = (count(row.ended), count(row.remaining));
    let state = match row.state.as_str() {
        DONE => EndingState::Done(ended),
        CHANGED => EndingState::Changed(remaining),
        RUNNING if app.clock.now().since(row.updated_at) < SILENCE => EndingState::Running(ended),
        _ => EndingState::Stopped { ended, remaining },
    };
    Ok(Ending { total: count(row.total), comment: row.comment, state })
}

/// Begins to end sessions, `total` of which the caller was shown, and gives the job: it goes on by
/// itself.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller may see and end everybody's sessions.
pub async fn begin(
    app: &App,
    who: &Principal,
    target: Target,
    (total, comment): (u64, String),
    actor: &Actor,
) -> Result<Arc<EndingJob>, ActionError> {
    who.must_see_all()?;
    if !who.rights.may_delete_sessions {
        return Err(ActionError::Forbidden);
    }
    let name = secret::random_alphanumeric(20)?;
    let new = NewEnding { name: name.clone(), by: who.user_id, total: number(total), comment: comment.clone() };
    let now = app.clock.now();
    app.store.write(move |db| Box::pin(async move { db.insert_ending(&new, RUNNING, now).await })).await?;
    let job = Arc::new(EndingJob { name, target, total, comment, state: Mutex::new(EndingState::Running(0)) });
    let (app, who, actor, running) = (app.clone(), who.clone(), actor.clone(), Arc::clone(&job));
    tokio::spawn(async move {
        let state = watched(&app, &who, &running, &actor).await;
        note(&app, &running, &state).await;
        *lock(&running.state) = state;
    });
    Ok(job)
}

/// Ends them, and writes down on the way how far that is.
async fn watched(app: &App, who: &Principal, job: &EndingJob, actor: &Actor) -> EndingState {
    let mut work = std::pin::pin!(run(app, who, job, actor));
    loop {
        tokio::select! {
            state = &mut work => return state,
            () = tokio::time::sleep(TICK) => {
                if let Ok(left) = count_left(app, job).await {
                    note(app, job, &EndingState::Running(job.total.saturating_sub(left))).await;
                }
            }
        }
    }
}

/// How many are left of what matches. Those that are named are few, and soon through.
async fn count_left(app: &App, job: &EndingJob) -> Result<u64, StoreError> {
    let Target::Matching(filter) = &job.target else { return Ok(job.total) };
    let filter = filter.clone();
    let left = app.store.long_read(move |db| Box::pin(async move { db.count_sessions(&filter).await })).await?;
    Ok(u64::try_from(left).unwrap_or(0))
}

async fn note(app: &App, job: &EndingJob, state: &EndingState) {
    let (name, now, (word, counts)) = (job.name.clone(), app.clock.now(), state.stored(job.total));
    let noted = app.store.write(move |db| Box::pin(async move { db.update_ending(&name, word, counts, now).await })).await;
    if let Err(error) = noted {
        let error: StoreError = error;
        tracing::warn!(%error, "how far an end of many sessions is was not written down");
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn run(app: &App, who: &Principal, job: &EndingJob, actor: &Actor) -> EndingState {
    let filter = match &job.target {
        Target::Named(ids) => {
            return match end_matching::revoke_named(app, who, ids, &job.comment, actor).await {
                Ok(ended) => EndingState::Done(ended),
                Err(error) => stopped(0, job.total, &error),
            };
        }
        Target::Matching(filter) => filter,
    };
    let (mut ended, mut expected) = (0, job.total);
    loop {
        let what = Revocation { filter: (**filter).clone(), except: None, expected: Some(expected), comment: job.comment.clone() };
        match end_matching::revoke_permitted(app, who, what, actor).await {
            Ok(last) => return EndingState::Done(ended + last),
            Err(RevocationError::Changed(count)) if ended == 0 => return EndingState::Changed(count),
            // A turn is over: the next one takes what is left.
            Err(RevocationError::Stopped { ended: part, remaining, .. }) if part > 0 => {
                ended += part;
                expected = remaining;
            }
            Err(error) => return stopped(ended, job.total.saturating_sub(ended), &error),
        }
    }
}

fn stopped(ended: u64, remaining: u64, error: &RevocationError) -> EndingState {
    tracing::error!(ended, remaining, %error, "ending many sessions stopped");
    EndingState::Stopped { ended, remaining }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

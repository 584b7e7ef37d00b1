//! Ends of many sessions that go on beside the request that began them, and how they came out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::principal::Principal;
use super::revocation::{self, Revocation, RevocationError};
use super::{ActionError, Actor};
use crate::app::App;
use crate::domain::listing::SessionFilter;
use crate::domain::{SessionId, UserId, secret};

/// How many are remembered.
const KEPT: usize = 200;

/// Those that were begun lately, by their names.
#[derive(Default)]
pub struct Endings(Mutex<Vec<Arc<EndingJob>>>);

/// What to end.
#[derive(Clone, Debug)]
pub enum Target {
    /// What matches.
    Matching(Box<SessionFilter>),
    /// These.
    Named(Vec<SessionId>),
}

/// One of them.
pub struct EndingJob {
    /// What names it.
    pub name: String,
    /// Who began it.
    pub by: UserId,
    /// What it ends.
    pub target: Target,
    /// How many there were.
    pub total: u64,
    /// Why, in words, or `""`.
    pub comment: String,
    state: Mutex<EndingState>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndingState {
    /// It goes on.
    Running,
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

impl EndingJob {
    /// How far it is.
    #[must_use]
    pub fn state(&self) -> EndingState {
        lock(&self.state).clone()
    }
}

impl Endings {
    /// One that this user began.
    #[must_use]
    pub fn find(&self, name: &str, by: UserId) -> Option<Arc<EndingJob>> {
        lock(&self.0).iter().find(|job| job.name == name && job.by == by).map(Arc::clone)
    }

    fn keep(&self, job: &Arc<EndingJob>) {
        let mut jobs = lock(&self.0);
        jobs.push(Arc::clone(job));
        let surplus = jobs.len().saturating_sub(KEPT);
        jobs.drain(..surplus);
    }
}

/// Begins to end sessions, `total` of which the caller was shown, and gives the job: it goes on by
/// itself.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller may see and end everybody's sessions.
pub fn begin(
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
    let job = EndingJob { name, by: who.user_id, target, total, comment, state: Mutex::new(EndingState::Running) };
    let job = Arc::new(job);
    app.endings.keep(&job);
    let (app, who, actor, running) = (app.clone(), who.clone(), actor.clone(), Arc::clone(&job));
    tokio::spawn(async move {
        let state = run(&app, &who, &running, &actor).await;
        *lock(&running.state) = state;
    });
    Ok(job)
}

async fn run(app: &App, who: &Principal, job: &EndingJob, actor: &Actor) -> EndingState {
    let filter = match &job.target {
        Target::Named(ids) => {
            return match revocation::revoke_named(app, who, ids, &job.comment, actor).await {
                Ok(ended) => EndingState::Done(ended),
                Err(error) => stopped(0, job.total, &error),
            };
        }
        Target::Matching(filter) => filter,
    };
    let (mut ended, mut expected) = (0, job.total);
    loop {
        let what = Revocation { filter: (**filter).clone(), except: None, expected: Some(expected), comment: job.comment.clone() };
        match revocation::revoke_permitted(app, who, what, actor).await {
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

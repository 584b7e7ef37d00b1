//! End jobs: ends of many sessions that a page started. A job continues after the request, and
//! after a restart: its target and its progress are in the database. The process that runs it holds
//! a lease; when the lease expires, any node continues the job ([`resume`]).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::principal::Principal;
use crate::actions::sessions::bulk_end::{Many, ManyEnds};
use crate::actions::sessions::end::listed;
use crate::actions::sessions::end_in::Fold;
use crate::actions::sessions::end_matching::{self, EndError, EndRequest, end_these, find_expected, must_be_of_rollcall};
use crate::domain::caller::Actor;
use crate::domain::event::{EventContent, FilterTerms};
use crate::domain::listing::SessionFilter;
use crate::domain::{Address, EndReason, SessionId, UserId, secret};
use crate::store::StoreError;
use crate::store::sessions::end::Which;
use crate::store::sessions::end_job::{EndJobRow, NewEndJob, RUNNING};
use crate::store::sessions::history::End;

/// How often a running job writes its progress, and renews its lease.
const TICK: Duration = Duration::from_secs(1);

/// Which sessions an end job ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndTarget {
    /// Those that match a filter.
    Matching(Box<SessionFilter>),
    /// Those with these UUIDs.
    Named(Vec<SessionId>),
}

/// An [`EndTarget`] as stored, with the uuid of the user that its filter names: a continued job
/// stops if the key belongs to another user by then.
#[derive(Serialize, Deserialize)]
struct StoredTarget {
    target: EndTarget,
    user_uuid: Option<String>,
}

/// An end job, for the page that started it.
pub struct EndJob {
    /// Its identifier.
    pub name: String,
    /// A comment for events and ended sessions, or `""`.
    pub comment: String,
    state: Mutex<EndJobState>,
}

/// The progress of an end job, as every node sees it.
pub struct EndJobView {
    /// How many sessions there were.
    pub total: u64,
    /// A comment for events and ended sessions, or `""`.
    pub comment: String,
    /// Its state.
    pub state: EndJobState,
}

/// The state of an end job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndJobState {
    /// It runs: about this many sessions have ended.
    Running(u64),
    /// No process runs it at the moment: its server stopped or is gone. A node will continue it.
    /// About this many sessions have ended.
    Waiting(u64),
    /// It is finished: this many sessions ended.
    Done(u64),
    /// The number of sessions was not the expected one, and nothing was ended: there are this many.
    Changed(u64),
    /// An error stopped it.
    Stopped {
        /// How many were ended.
        ended: u64,
        /// How many are left.
        remaining: u64,
    },
}

const DONE: &str = "done";
const CHANGED: &str = "changed";
const STOPPED: &str = "stopped";

impl EndJobState {
    /// Whether it runs or will be continued.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Running(_) | Self::Waiting(_))
    }

    /// As it is stored: a word, how many were ended, and how many are left of `total`.
    fn stored(&self, total: u64) -> (&'static str, (i64, i64)) {
        let (word, ended, remaining) = match *self {
            Self::Running(ended) | Self::Waiting(ended) => (RUNNING, ended, total.saturating_sub(ended)),
            Self::Done(ended) => (DONE, ended, 0),
            Self::Changed(count) => (CHANGED, 0, count),
            Self::Stopped { ended, remaining } => (STOPPED, ended, remaining),
        };
        (word, (number(ended), number(remaining)))
    }
}

impl EndJob {
    /// Its state.
    #[must_use]
    pub fn state(&self) -> EndJobState {
        lock(&self.state).clone()
    }
}

/// The progress of a job that this user began, on any node.
///
/// # Errors
/// [`ActionError::NotFound`].
pub async fn find(app: &App, name: &str, by: UserId) -> Result<EndJobView, ActionError> {
    let row = app.store.read().find_end_job(name, by).await?.ok_or(ActionError::NotFound)?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let (ended, remaining) = (count(row.ended), count(row.remaining));
    let state = match row.state.as_str() {
        DONE => EndJobState::Done(ended),
        CHANGED => EndJobState::Changed(remaining),
        RUNNING if row.lease_until > app.clock.now() => EndJobState::Running(ended),
        RUNNING => EndJobState::Waiting(ended),
        _ => EndJobState::Stopped { ended, remaining },
    };
    Ok(EndJobView { total: count(row.total), comment: row.comment, state })
}

/// Starts to end sessions, `total` of which the caller was shown, and returns the job, which runs
/// by itself.
///
/// # Errors
/// [`ActionError::Forbidden`] unless the caller may see and end everybody's sessions.
pub async fn begin(
    app: &App,
    who: &Principal,
    target: EndTarget,
    (total, comment): (u64, String),
    actor: &Actor,
) -> Result<Arc<EndJob>, ActionError> {
    who.must_see_all()?;
    if !who.rights.may_delete_sessions {
        return Err(ActionError::Forbidden);
    }
    if let EndTarget::Matching(filter) = &target {
        must_be_of_rollcall(filter)?;
    }
    let lease = app.end_jobs.lease(app.clock.now()).ok_or(StoreError::Failed("no randomness".into()))?;
    let user_uuid = user_of(app, &target).await?;
    let stored = serde_json::to_string(&StoredTarget { target, user_uuid });
    let new = NewEndJob {
        name: secret::random_alphanumeric(20)?,
        by: who.user_id,
        actor: actor.name.clone(),
        ip: actor.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        request_id: actor.request_id.clone(),
        target: stored.map_err(|error| StoreError::Failed(error.to_string()))?,
        total: number(total),
        comment: comment.clone(),
    };
    let job = Arc::new(EndJob { name: new.name.clone(), comment, state: Mutex::new(EndJobState::Running(0)) });
    let (now, running) = (app.clock.now(), app.end_jobs.start());
    let row = EndJobRow { job: new.clone(), began_at: now, ended: 0, event: None };
    app.store.write(move |db| Box::pin(async move { db.insert_end_job(&new, &lease, now).await })).await?;
    let (app, begun) = (app.clone(), Arc::clone(&job));
    tokio::spawn(async move {
        let state = run(&app, row).await;
        *lock(&begun.state) = state;
        drop(running);
    });
    Ok(job)
}

/// Continues a job that no process runs, if there is one.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database does not answer.
pub async fn resume(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let now = app.clock.now();
    if app.end_jobs.is_stopping() || !app.store.read().has_free_end_job(now).await? {
        return Ok(());
    }
    let Some(lease) = app.end_jobs.lease(app.clock.now()) else { return Ok(()) };
    let running = app.end_jobs.start();
    let taken = app.store.write(move |db| Box::pin(async move { db.take_end_job(&lease, now).await })).await;
    let taken: Result<Option<EndJobRow>, StoreError> = taken;
    let taken = taken?;
    if let Some(row) = taken {
        tracing::info!(ended = row.ended, total = row.job.total, "goes on with an end of many sessions");
        run(app, row).await;
    }
    drop(running);
    Ok(())
}

/// The uuid of the user that a filter names by primary key.
async fn user_of(app: &App, target: &EndTarget) -> Result<Option<String>, StoreError> {
    let EndTarget::Matching(filter) = target else { return Ok(None) };
    match filter.user {
        Some(user) => Ok(app.store.read().find_user_uuid(user).await?.map(|uuid| uuid.to_string())),
        None => Ok(None),
    }
}

/// Runs a job under the lease of this process, and writes its progress. Returns its state at the
/// end.
async fn run(app: &App, row: EndJobRow) -> EndJobState {
    let total = u64::try_from(row.job.total).unwrap_or(0);
    let name = row.job.name.clone();
    let target = match serde_json::from_str::<StoredTarget>(&row.job.target) {
        Ok(stored) if row.event.is_none() || same_user(app, &stored).await => Some(stored.target),
        _ => None,
    };
    let progress = Mutex::new((row.event, u64::try_from(row.ended).unwrap_or(0)));
    let Some(target) = target else {
        let state = stopped(u64::try_from(row.ended).unwrap_or(0), total, &"its user is not there any more");
        note(app, &name, total, &state).await;
        return state;
    };
    let is_lost = AtomicBool::new(false);
    let state = {
        let mut work = std::pin::pin!(work(app, &row, &target, &progress, &is_lost));
        loop {
            tokio::select! {
                state = &mut work => break state,
                () = tokio::time::sleep(TICK) => {
                    let ended = lock(&progress).1;
                    if !note(app, &name, total, &EndJobState::Running(ended)).await {
                        is_lost.store(true, Ordering::SeqCst);
                    }
                }
            }
        }
    };
    if is_lost.load(Ordering::SeqCst) {
        return state; // Another process runs it, and writes how far it is.
    }
    note(app, &name, total, &state).await;
    if matches!(state, EndJobState::Running(_))
        && let Some(holder) = app.end_jobs.holder()
    {
        let released = app.store.write(move |db| Box::pin(async move { db.release_end_job(&name, &holder).await })).await;
        let released: Result<(), StoreError> = released;
        drop(released); // If it fails, the lease is over soon.
    }
    state
}

async fn same_user(app: &App, stored: &StoredTarget) -> bool {
    matches!(user_of(app, &stored.target).await, Ok(user) if user == stored.user_uuid)
}

/// Writes the progress of a job, and renews the lease. Returns whether this process still holds it;
/// if the database does not answer, true.
async fn note(app: &App, name: &str, total: u64, state: &EndJobState) -> bool {
    let Some(lease) = app.end_jobs.lease(app.clock.now()) else { return false };
    let (name, now, (word, counts)) = (name.to_owned(), app.clock.now(), state.stored(total));
    let noted =
        app.store.write(move |db| Box::pin(async move { db.update_end_job((&name, &lease), word, counts, now).await })).await;
    noted.unwrap_or_else(|error: StoreError| {
        tracing::warn!(%error, "the progress of an end of many sessions was not written");
        true
    })
}

/// The progress of a job: its event, and how many sessions ended.
type Progress = Mutex<(Option<i64>, u64)>;

/// Ends the sessions of a job, in turns.
async fn work(app: &App, row: &EndJobRow, target: &EndTarget, progress: &Progress, is_lost: &AtomicBool) -> EndJobState {
    let job = &row.job;
    let actor =
        Actor { id: Some(job.by), name: job.actor.clone(), ip: Address::parse(&job.ip), request_id: job.request_id.clone() };
    let total = u64::try_from(job.total).unwrap_or(0);
    let is_stopping = || app.end_jobs.is_stopping() || is_lost.load(Ordering::SeqCst);
    loop {
        let before = lock(progress).1;
        match turn(app, row, target, progress, &actor, &is_stopping).await {
            Ok(()) => break,
            Err(EndError::Changed(count)) => return EndJobState::Changed(count),
            Err(_) if is_stopping() => return EndJobState::Running(lock(progress).1),
            // The turn's time is over: the next one continues.
            Err(EndError::Stopped { .. }) if lock(progress).1 > before => {}
            Err(error) => {
                let ended = lock(progress).1;
                finish(app, row, target, progress).await;
                return stopped(ended, total, &error);
            }
        }
    }
    EndJobState::Done(finish(app, row, target, progress).await)
}

/// One turn: ends sessions for about as long as a request may take.
async fn turn(
    app: &App,
    row: &EndJobRow,
    target: &EndTarget,
    progress: &Progress,
    actor: &Actor,
    is_stopping: &(dyn Fn() -> bool + Sync),
) -> Result<(), EndError> {
    let job = &row.job;
    let filter = record(app, target).await?;
    let many = |expected| Many { filter: &filter, expected, reason: EndReason::Revoked, comment: &job.comment };
    let (event, before) = *lock(progress);
    let watch = |ended: u64| {
        lock(progress).1 = before + ended;
        is_stopping()
    };
    match target {
        EndTarget::Named(ids) => {
            let many = many(ids.len() as u64);
            let mut ends = ManyEnds::part(app, many, actor, begun(app, job, many, event, actor).await?);
            lock(progress).0 = ends.event();
            for ids in ids.chunks(ends.chunk()) {
                if watch(ends.ended()) {
                    let (ended, remaining) = (ends.ended(), ids.len() as u64);
                    return Err(EndError::Stopped { ended, remaining, why: "the server is stopping".into() });
                }
                ends.end(Which::Uuids(ids.to_vec())).await?;
            }
            watch(ends.ended());
            Ok(())
        }
        EndTarget::Matching(filter) => {
            let expected = event.is_none().then(|| u64::try_from(job.total).unwrap_or(0));
            let what = EndRequest { filter: (**filter).clone(), except: None, expected, comment: job.comment.clone() };
            let matching = match event {
                None => find_expected(app, &what).await?,
                // Sessions that began after the job were not shown to the user.
                Some(_) => end_matching::find(app, &what.filter, None, Some(row.began_at)).await?,
            };
            let many = many(matching.ids.len() as u64);
            let mut ends = ManyEnds::part(app, many, actor, begun(app, job, many, event, actor).await?);
            lock(progress).0 = ends.event();
            end_these(&mut ends, &what, &matching, &watch).await
        }
    }
}

/// The event of a job, which is stored with the job before its first session ends. A single session
/// has its own event only.
async fn begun(app: &App, job: &NewEndJob, many: Many<'_>, event: Option<i64>, actor: &Actor) -> Result<Option<i64>, StoreError> {
    if event.is_some() || many.expected <= 1 {
        return Ok(event);
    }
    let end = End { comment: job.comment.clone(), ..End::by(actor, app.clock.now(), EndReason::Revoked) };
    let (mut fold, actor, name, expected) = (Fold::of(many.filter.clone()), actor.clone(), job.name.clone(), many.expected);
    app.store
        .write(move |db| {
            Box::pin(async move {
                fold.begin(db, expected, &end, &actor).await?;
                if let Some(event) = fold.event() {
                    db.update_end_job_event(&name, event).await?;
                }
                Ok(fold.event())
            })
        })
        .await
}

async fn record(app: &App, target: &EndTarget) -> Result<FilterTerms, StoreError> {
    match target {
        EndTarget::Matching(filter) => end_matching::record(app, filter, None).await,
        EndTarget::Named(ids) => Ok(listed(ids)),
    }
}

/// Writes the totals of a job's event, and gives how many sessions ended.
async fn finish(app: &App, row: &EndJobRow, target: &EndTarget, progress: &Progress) -> u64 {
    let (event, ended) = *lock(progress);
    let Some(event) = event else { return ended };
    let counted = app.store.long_read(move |db| Box::pin(async move { db.count_parts(event).await })).await;
    let written = async {
        let (count, users): (i64, i64) = counted?;
        let count = u64::try_from(count).unwrap_or(0);
        let content = EventContent::SessionsEnded {
            filter: record(app, target).await?,
            expected: u64::try_from(row.job.total).unwrap_or(0),
            count: Some(count),
            users: u64::try_from(users).ok(),
            reason: EndReason::Revoked,
            comment: row.job.comment.clone(),
        };
        app.store.write(move |db| Box::pin(async move { db.update_event_content(event, &content).await })).await?;
        Ok::<_, StoreError>(count)
    };
    written.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the totals of an end of many sessions were not written");
        ended
    })
}

fn stopped(ended: u64, total: u64, error: &dyn std::fmt::Display) -> EndJobState {
    let remaining = total.saturating_sub(ended);
    tracing::error!(ended, remaining, %error, "an end of many sessions stopped");
    EndJobState::Stopped { ended, remaining }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Runs an end of many sessions at the watched authentik: one after the other, at most as many a second as the settings
//! permit for all such jobs together. What waits is in the database, so that any process goes on with it.

use std::pin::pin;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::end::{client, must_be_fresh, read_afresh, send};
use crate::actions::watch::gone::{Gone, is_gone};
use crate::actions::watch::many::content;
use crate::actions::watch::refusal::EndRefusal;
use crate::actions::watch::running::{Running, TICK};
use crate::actions::watch::whole_user::whole_user;
use crate::domain::source::{AskedState, JobState, NAME};
use crate::store::watch::asked::AskedEnd;
use crate::store::watch::jobs::SourceJob;
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, StoreError};

/// How many ends in a row may fail before the job stops.
const PATIENCE: u32 = 5;

/// What a run came to.
enum Outcome {
    /// Another process goes on with it.
    Left,
    /// It ended.
    Ended(JobState, String),
}

/// Continues a job that no process runs, if there is one.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database does not answer.
pub async fn resume(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let now = app.clock.now();
    if app.watched.is_none() || app.end_jobs.is_stopping() || !app.store.read().has_free_source_job(now).await? {
        return Ok(());
    }
    let Some(lease) = app.end_jobs.lease(now) else { return Ok(()) };
    let running = app.end_jobs.start();
    let taken = app.store.write(move |db| Box::pin(async move { db.take_source_job(&lease, now).await })).await;
    let taken: Result<Option<SourceJob>, StoreError> = taken;
    if let Some(job) = taken? {
        tracing::info!(total = job.total, "goes on with an end of many sessions at authentik");
        run(app, job).await;
    }
    drop(running);
    Ok(())
}

/// Runs a job under the lease of this process.
pub(super) async fn run(app: &App, job: SourceJob) {
    let running = Running::new(app, &job);
    let outcome = {
        let mut work = pin!(work(&running));
        loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                () = tokio::time::sleep(TICK) => running.hold().await,
            }
        }
    };
    let written = match outcome {
        Outcome::Left => leave(app, &job).await,
        Outcome::Ended(state, detail) => finish(app, &job, state, detail).await,
    };
    if let Err(error) = written {
        tracing::warn!(%error, "the end of an end of many sessions was not written; a process goes on with it");
    }
}

async fn leave(app: &App, job: &SourceJob) -> Result<(), StoreError> {
    let (id, Some(holder)) = (job.id, app.end_jobs.holder()) else { return Ok(()) };
    app.store.write(move |db| Box::pin(async move { db.release_source_job(id, &holder).await })).await
}

/// Writes the end of a job, and the totals of its event.
async fn finish(app: &App, job: &SourceJob, state: JobState, detail: String) -> Result<(), StoreError> {
    let (job, now, Some(holder)) = (job.clone(), app.clock.now(), app.end_jobs.holder()) else { return Ok(()) };
    tracing::info!(state = state.as_str(), detail, "an end of many sessions at authentik");
    app.store
        .write(move |db| {
            Box::pin(async move {
                let is_ours = db.finish_source_job((job.id, &holder), state, &detail, now).await?;
                if is_ours { write_totals(db, &job).await } else { Ok(()) }
            })
        })
        .await
}

/// Writes the totals of the event of a job that ended, inside the transaction that ends it.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn write_totals(db: &Db<'_>, job: &SourceJob) -> Result<(), StoreError> {
    let counts = db.count_asked(job.id).await?;
    let ended = counts.iter().find(|(word, _)| word == AskedState::Ended.as_str()).map_or(0, |(_, count)| *count);
    let terms = serde_json::from_str(&job.filter).unwrap_or_default();
    let (total, ended) = (u64::try_from(job.total).unwrap_or(0), u64::try_from(ended).ok());
    db.update_event_content(job.event, &content(NAME, terms, total, ended, &job.comment)).await
}

/// Ends the sessions of a job until none waits, or it is told to stop.
async fn work(running: &Running<'_>) -> Outcome {
    let mut failures = 0;
    let mut is_whole_user = running.job.is_whole_user;
    loop {
        match running.goes_on().await {
            Ok(true) => {}
            Ok(false) if running.is_to_stop() => return Outcome::Ended(JobState::Stopped, String::new()),
            Ok(false) => return Outcome::Left,
            Err(error) => tracing::warn!(%error, "an end of many sessions did not hear whether to stop"),
        }
        let turn = if std::mem::take(&mut is_whole_user) { whole_user(running).await } else { turn(running).await };
        match turn {
            Ok(Turn::Through) => return Outcome::Ended(JobState::Done, String::new()),
            Ok(Turn::Taken) => failures = 0,
            Err(error) if failures < PATIENCE && is_passing(&error) => {
                failures += 1;
                running.pause(TICK).await;
            }
            Err(error) => return Outcome::Ended(JobState::Failed, error.to_string()),
        }
    }
}

/// Whether the next end may well succeed after this error.
fn is_passing(error: &ActionError) -> bool {
    match error {
        ActionError::AtSource(EndRefusal::Failed(error)) => error.is_temporary(),
        ActionError::AtSource(EndRefusal::NotKnown(_) | EndRefusal::StillThere(_)) => true,
        ActionError::Store(error) => error.is_temporary(),
        _ => false,
    }
}

/// What a turn came to.
pub(super) enum Turn {
    /// A session had its turn, or the job was told something.
    Taken,
    /// No session waits.
    Through,
}

/// The source, while its copy is fresh.
///
/// # Errors
/// [`ActionError::AtSource`] while it is not.
pub(super) async fn fresh(app: &App) -> Result<SourceRow, ActionError> {
    let source = app.store.read().find_source(NAME).await?.ok_or(ActionError::NotFound)?;
    must_be_fresh(app, &source)?;
    Ok(source)
}

/// Ends the next session.
async fn turn(running: &Running<'_>) -> Result<Turn, ActionError> {
    let app = running.app;
    let Some(asked) = app.store.read().list_waiting(running.job.id, 1).await?.into_iter().next() else {
        return Ok(Turn::Through);
    };
    if !running.wait_for_turn(1).await? {
        return Ok(Turn::Taken);
    }
    let source = fresh(app).await?;
    match read_afresh(client(app)?, asked.uuid, asked.user_pk).await {
        // A token that lost its right to see sessions is told the same of those that live.
        Err(ActionError::NotFound) => match is_gone(running, client(app)?, &source, &asked).await? {
            Gone::Certainly => {
                give_up(app, vec![asked.id], true).await?;
                return Ok(Turn::Taken);
            }
            Gone::Not | Gone::NotAsked => return Ok(Turn::Taken),
            Gone::Perhaps(why) => return Err(EndRefusal::InDoubt(why).into()),
        },
        read => read?,
    }
    if !running.goes_on().await? || mark_sent(app, &[&asked]).await? == 0 {
        return Ok(Turn::Taken);
    }
    match send(app, &source, &asked).await {
        Ok(()) | Err(ActionError::NotFound) => Ok(Turn::Taken),
        Err(error) => Err(error),
    }
}

/// Notes that these ends are sent now, and gives of how many that holds.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn mark_sent(app: &App, asked: &[&AskedEnd]) -> Result<u64, StoreError> {
    let (ids, now): (Vec<i64>, _) = (asked.iter().map(|asked| asked.id).collect(), app.clock.now());
    app.store.write(move |db| Box::pin(async move { db.mark_sent(&ids, now).await })).await
}

/// Takes back ends that did not take place: they wait again, or were gone already.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn give_up(app: &App, ids: Vec<i64>, is_gone: bool) -> Result<(), StoreError> {
    let now = app.clock.now();
    app.store
        .write(move |db| {
            Box::pin(async move {
                for id in ids {
                    db.give_up_asked_end(id, is_gone, now).await?;
                }
                Ok(())
            })
        })
        .await
}

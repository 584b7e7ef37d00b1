//! Runs an end of many sessions at the watched authentik: one after the other, at most as many a second as the settings
//! permit. What waits is in the database, so that any process goes on with it.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::end::{client, must_be_fresh, read_afresh, send};
use crate::actions::watch::many::content;
use crate::actions::watch::record::end_in;
use crate::actions::watch::refusal::EndRefusal;
use crate::domain::source::{AskedState, JobState, NAME};
use crate::domain::{EndReason, SessionId};
use crate::store::StoreError;
use crate::store::watch::asked::AskedEnd;
use crate::store::watch::jobs::SourceJob;
use crate::store::watch::sources::SourceRow;
use crate::watch::{Client, SourceError};

/// How often the lease is renewed.
const TICK: Duration = Duration::from_secs(1);
/// How many ends in a row may fail before the job stops.
const PATIENCE: u32 = 5;
/// How many sessions are looked at to be certain that the token sees those of others.
const WITNESSES: i64 = 8;
/// Why nothing is certain.
const NO_OTHER: &str = "no session of another user is visible";

/// What a running job is told.
#[derive(Default)]
struct Told(AtomicU8);

impl Told {
    const STOP: u8 = 1;
    const LOST: u8 = 2;

    fn say(&self, what: u8) {
        self.0.store(what, Ordering::SeqCst);
    }

    fn is(&self, what: u8) -> bool {
        self.0.load(Ordering::SeqCst) == what
    }
}

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
    let told = Told::default();
    let outcome = {
        let mut work = pin!(work(app, &job, &told));
        loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                () = tokio::time::sleep(TICK) => hold(app, &job, &told).await,
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

/// Renews the lease, and hears whether to stop.
async fn hold(app: &App, job: &SourceJob, told: &Told) {
    let Some(lease) = app.end_jobs.lease(app.clock.now()) else { return told.say(Told::LOST) };
    let id = job.id;
    match app.store.write(move |db| Box::pin(async move { db.hold_source_job(id, &lease).await })).await {
        Ok(Some(JobState::Stopping)) => told.say(Told::STOP),
        Ok(Some(_)) => {}
        Ok(None) => told.say(Told::LOST),
        Err(error) => {
            let error: StoreError = error;
            tracing::warn!(%error, "the lease of an end of many sessions was not renewed");
        }
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
                if !db.finish_source_job((job.id, &holder), state, &detail, now).await? {
                    return Ok(());
                }
                let counts = db.count_asked(job.id).await?;
                let ended = counts.iter().find(|(word, _)| word == AskedState::Ended.as_str()).map_or(0, |(_, count)| *count);
                let terms = serde_json::from_str(&job.filter).unwrap_or_default();
                let (total, ended) = (u64::try_from(job.total).unwrap_or(0), u64::try_from(ended).ok());
                db.update_event_content(job.event, &content(NAME, terms, total, ended, &job.comment)).await
            })
        })
        .await
}

/// Ends the sessions of a job until none waits, or it is told to stop.
async fn work(app: &App, job: &SourceJob, told: &Told) -> Outcome {
    let mut failures = 0;
    let mut is_whole_user = job.is_whole_user;
    loop {
        if app.end_jobs.is_stopping() || told.is(Told::LOST) {
            return Outcome::Left;
        }
        if told.is(Told::STOP) || job.state == JobState::Stopping {
            return Outcome::Ended(JobState::Stopped, String::new());
        }
        let began = Instant::now();
        let turn = if std::mem::take(&mut is_whole_user) { whole_user(app, job).await } else { turn(app, job).await };
        let ended = match turn {
            Ok(None) => return Outcome::Ended(JobState::Done, String::new()),
            Ok(Some(ended)) => {
                failures = 0;
                ended
            }
            Err(error) if failures < PATIENCE && is_passing(&error) => {
                failures += 1;
                tokio::time::sleep(TICK).await;
                1
            }
            Err(error) => return Outcome::Ended(JobState::Failed, error.to_string()),
        };
        let rate = app.watched.as_ref().map_or(1, |client| client.source().ends_per_second);
        let pause = Duration::from_secs(1).saturating_mul(ended) / rate.max(1);
        tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
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

/// The source, while its copy is fresh.
async fn fresh(app: &App) -> Result<SourceRow, ActionError> {
    let source = app.store.read().find_source(NAME).await?.ok_or(ActionError::NotFound)?;
    must_be_fresh(app, &source)?;
    Ok(source)
}

/// Ends the next session; `None`: none waits. Gives how many ends authentik was asked for.
async fn turn(app: &App, job: &SourceJob) -> Result<Option<u32>, ActionError> {
    let Some(asked) = app.store.read().list_waiting(job.id, 1).await?.into_iter().next() else { return Ok(None) };
    let source = fresh(app).await?;
    match read_afresh(client(app)?, asked.uuid, asked.user_pk).await {
        // A token that lost its right to see sessions is told the same of those that live.
        Err(ActionError::NotFound) => match is_gone(app, client(app)?, &source, &asked).await? {
            Gone::Certainly => {
                give_up(app, asked.id, true).await?;
                return Ok(Some(0));
            }
            Gone::Not => return Ok(Some(0)),
            Gone::Perhaps(why) => return Err(EndRefusal::InDoubt(why).into()),
        },
        read => read?,
    }
    if mark_sent(app, &[&asked]).await? == 0 {
        return Ok(Some(0));
    }
    match send(app, &source, &asked).await {
        Ok(()) | Err(ActionError::NotFound) => Ok(Some(1)),
        Err(error) => Err(error),
    }
}

async fn mark_sent(app: &App, asked: &[&AskedEnd]) -> Result<u64, StoreError> {
    let (ids, now): (Vec<i64>, _) = (asked.iter().map(|asked| asked.id).collect(), app.clock.now());
    app.store.write(move |db| Box::pin(async move { db.mark_sent(&ids, now).await })).await
}

async fn give_up(app: &App, id: i64, is_gone: bool) -> Result<(), StoreError> {
    let now = app.clock.now();
    app.store.write(move |db| Box::pin(async move { db.give_up_asked_end(id, is_gone, now).await })).await
}

async fn doubt(app: &App, id: i64, why: &str) -> Result<(), StoreError> {
    let why = why.to_owned();
    app.store.write(move |db| Box::pin(async move { db.doubt_asked_end(id, &why).await })).await
}

/// Ends all sessions of the job's user by one request. What is there afterwards waits again, and ends one by one; so does
/// all of it where authentik cannot, or fails as 2026.8.0 does. `None`: nothing waits.
async fn whole_user(app: &App, job: &SourceJob) -> Result<Option<u32>, ActionError> {
    let waiting = app.store.read().list_waiting(job.id, i64::from(i32::MAX)).await?;
    let Some(user) = waiting.first().map(|asked| asked.user_pk) else { return Ok(None) };
    let (source, client) = (fresh(app).await?, client(app)?);
    mark_sent(app, &waiting.iter().collect::<Vec<_>>()).await?;
    let sent = client.end_of_user(user).await.value;
    let (mut gone, mut asked_for) = (Vec::new(), 0);
    for asked in &waiting {
        if sent.as_ref().is_err_and(|error| !error.may_be_done()) {
            give_up(app, asked.id, false).await?;
            continue;
        }
        match (is_gone(app, client, &source, asked).await?, &sent) {
            (Gone::Not, _) => give_up(app, asked.id, false).await?,
            (Gone::Certainly, Ok(_)) => gone.push((asked.uuid, EndReason::Gone)),
            // The poller looks into it from now on.
            (Gone::Certainly | Gone::Perhaps(_), Err(error)) => doubt(app, asked.id, &error.to_string()).await?,
            (Gone::Perhaps(why), Ok(_)) => doubt(app, asked.id, &why).await?,
        }
        asked_for += 1;
    }
    if !gone.is_empty() {
        let (source, now) = (source.clone(), app.clock.now());
        let written = app.store.write(move |db| Box::pin(async move { end_in(db, &source, &gone, now).await }));
        let count: Result<usize, StoreError> = written.await;
        count?;
    }
    match sent {
        Err(error @ (SourceError::Forbidden | SourceError::TokenRefused)) => Err(EndRefusal::of(error).into()),
        _ => Ok(Some(asked_for)),
    }
}

/// What a look at a session came to.
enum Gone {
    /// It is there.
    Not,
    /// It does not exist.
    Certainly,
    /// Nothing is certain, for this reason.
    Perhaps(String),
}

/// Whether a session does not exist, between two looks at one of another user: a token that lost its right sees none of
/// anybody's, and neither does another instance that answers.
async fn is_gone(app: &App, client: &Client, source: &SourceRow, asked: &AskedEnd) -> Result<Gone, StoreError> {
    for witness in app.store.read().list_latest_watched(source.id, asked.user_pk, WITNESSES).await? {
        if !shows(client, source, witness).await {
            continue;
        }
        return Ok(match client.session(asked.uuid).await.value {
            Ok(_) => Gone::Not,
            Err(SourceError::Missing) if shows(client, source, witness).await => Gone::Certainly,
            Err(SourceError::Missing) => Gone::Perhaps(NO_OTHER.to_owned()),
            Err(error) => Gone::Perhaps(format!("it could not be read back, {error}")),
        });
    }
    Ok(Gone::Perhaps(NO_OTHER.to_owned()))
}

/// Whether a session of somebody else than the token's owner is visible.
async fn shows(client: &Client, source: &SourceRow, witness: SessionId) -> bool {
    client.session(witness).await.value.is_ok_and(|seen| seen.uuid == witness && seen.user != source.status.owner_pk)
}

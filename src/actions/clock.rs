//! Whether the clock is believed. Deletions that depend on the clock wait while it is not: swept
//! sessions, purged history and removed addresses do not come back when the clock is set right.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::end;
use crate::domain::Timestamp;
use crate::domain::clock::Clock;
use crate::domain::clock_guard::{ClockGuard, Doubt};
use crate::store::{Db, StoreError};

/// The setting with the time that the clock should show, in microseconds, and the doubt in words,
/// if there is one.
const CLOCK_SETTING: &str = "clock";
/// The setting with which an operator confirms the clock: the time that it showed, in microseconds.
const CONFIRMED_SETTING: &str = "clock_confirmed";
/// How far the clock of a command that confirms may be from the server's.
const SAME: std::time::Duration = std::time::Duration::from_secs(600);

/// What a server last wrote down about its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockNote {
    /// What the clock should have said then.
    pub expected: Timestamp,
    /// The doubt, in words, or `""`.
    pub doubt: String,
}

/// Why the clock is not believed; `None` while it is.
#[must_use]
pub fn doubt(app: &App) -> Option<Doubt> {
    guard(app).and_then(ClockGuard::doubt)
}

fn guard(app: &App) -> Option<&ClockGuard> {
    match &app.clock {
        Clock::Guarded(guard) => Some(guard),
        _ => None,
    }
}

/// Compares the clock with what an earlier run of the server wrote down, and with the database's clock.
/// Called once, before anything is done by the clock.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database does not answer.
pub async fn resume(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let Some(guard) = guard(app) else { return Ok(()) };
    if let Some(note) = find_note(&app.store.read()).await? {
        guard.resume(note.expected, !note.doubt.is_empty());
    }
    keep(app, by).await
}

/// Compares the clocks, follows a believed one, and logs a doubt that begins or goes. A job calls
/// it every few seconds. If the database has a clock of its own, that clock decides; else a doubt
/// ends when an operator confirms the clock or it has settled, and the server stores the state of
/// its clock.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database does not answer.
pub async fn keep(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let Some(guard) = guard(app) else { return Ok(()) };
    if let Some(now) = app.store.now().await? {
        guard.follow_database(now);
        tell(guard, "set this machine's clock: it differs from the database's, which is used instead");
        return Ok(());
    }
    if guard.doubt().is_some() && (guard.is_settled() || take_confirmation(app, guard).await?) {
        confirm(app, guard).await?;
    }
    guard.follow();
    tell(guard, "set the clock, or run `rollcall clock confirm` if it is right now");
    Ok(note(app, guard).await?)
}

fn tell(guard: &ClockGuard, cure: &str) {
    if !guard.has_turned() {
        return;
    }
    match guard.doubt() {
        Some(doubt) => tracing::warn!(off = %doubt, cure, "the clock jumped: nothing is swept or purged by it"),
        None => tracing::info!("the clock is believed again"),
    }
}

/// Believes the clock as it is. Sessions that were over by the later time stay over: they end first.
async fn confirm(app: &App, guard: &ClockGuard) -> Result<(), ActionError> {
    let (now, wall) = (guard.now(), guard.wall());
    if now > wall {
        let ended = end::sweep(app, By::System, now).await?;
        tracing::info!(ended, "ended the sessions that were over by the clock before it went back");
    }
    guard.confirm();
    Ok(())
}

/// Whether an operator confirmed the clock since the last look.
async fn take_confirmation(app: &App, guard: &ClockGuard) -> Result<bool, StoreError> {
    let given = app.store.read().find_setting(CONFIRMED_SETTING).await?.and_then(|text| text.parse().ok());
    let Some(given) = given.map(Timestamp) else { return Ok(false) };
    app.store.write(|db| Box::pin(async move { db.update_setting(CONFIRMED_SETTING, "").await })).await?;
    Ok(given.is_near(guard.wall(), SAME))
}

/// How often what the clock should say is written down, in microseconds.
const NOTED_EVERY: i64 = 60_000_000;

/// Writes down what the clock should say once a minute, and a doubt that began or went.
async fn note(app: &App, guard: &ClockGuard) -> Result<(), StoreError> {
    let (known, doubt) = (find_note(&app.store.read()).await?, guard.doubt());
    let words = doubt.map(|doubt| doubt.to_string()).unwrap_or_default();
    let expected = guard.expected();
    let is_current = |known: ClockNote| {
        known.doubt.is_empty() == words.is_empty() && expected.0.abs_diff(known.expected.0) < NOTED_EVERY.unsigned_abs()
    };
    if known.is_some_and(is_current) {
        return Ok(());
    }
    let text = format!("{} {words}", expected.0);
    app.store.write(move |db| Box::pin(async move { db.update_setting(CLOCK_SETTING, text.trim_end()).await })).await
}

/// What a server last wrote down about its clock; `None` when none did.
///
/// # Errors
/// When the database does not answer.
pub async fn find_note(db: &Db<'_>) -> Result<Option<ClockNote>, StoreError> {
    let Some(text) = db.find_setting(CLOCK_SETTING).await? else { return Ok(None) };
    let (micros, doubt) = text.split_once(' ').unwrap_or((&text, ""));
    let expected = micros.parse().map(Timestamp).map_err(|_| StoreError::Corrupt("the clock that was written down"))?;
    Ok(Some(ClockNote { expected, doubt: doubt.to_owned() }))
}

/// Confirms the clock of this machine, for servers of this database whose clock agrees with it: they believe theirs
/// within seconds.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn request_confirmation(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let text = app.clock.now().0.to_string();
    app.store.write(move |db| Box::pin(async move { db.update_setting(CONFIRMED_SETTING, &text).await })).await?;
    Ok(())
}

//! Ends all sessions of one user at the watched authentik by one request, and looks at each of them afterwards.

use tokio::time::Instant;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::watch::end::client;
use crate::actions::watch::gone::{Gone, is_gone};
use crate::actions::watch::job::{Turn, fresh, give_up, mark_sent};
use crate::actions::watch::record::end_in;
use crate::actions::watch::refusal::EndRefusal;
use crate::actions::watch::running::Running;
use crate::domain::{EndReason, SessionId};
use crate::store::StoreError;
use crate::store::watch::asked::AskedEnd;
use crate::store::watch::sources::SourceRow;
use crate::watch::{Client, SourceError};

/// How many sessions of the user are looked at to be certain that it is the same user.
const RECOGNIZED_BY: usize = 8;
/// Why an end is not known that was asked for when the job was told to stop.
const STOPPED: &str = "the end of many was stopped before Rollcall looked at the session";

/// Ends all sessions of the job's user by one request. What is there afterwards waits again, and ends one by one; so does
/// all of it where authentik cannot, or fails as 2026.8.0 does.
///
/// # Errors
/// As for one end.
pub(super) async fn whole_user(running: &Running<'_>) -> Result<Turn, ActionError> {
    let app = running.app;
    let waiting = app.store.read().list_waiting(running.job.id, i64::from(i32::MAX)).await?;
    let Some(user) = waiting.first().map(|asked| asked.user_pk) else { return Ok(Turn::Through) };
    if !running.wait_for_turn(waiting.len()).await? {
        return Ok(Turn::Taken);
    }
    let (source, client) = (fresh(app).await?, client(app)?);
    if !is_theirs(running, client, &waiting).await? || !running.goes_on().await? {
        return Ok(Turn::Taken);
    }
    mark_sent(app, &waiting.iter().collect::<Vec<_>>()).await?;
    let sent = client.end_of_user(user).await.value;
    match &sent {
        Err(error) if !error.may_be_done() => give_up(app, waiting.iter().map(|asked| asked.id).collect(), false).await?,
        sent => look_at_each(running, (client, &source), &waiting, sent.as_ref().err()).await?,
    }
    match sent {
        Err(error @ (SourceError::Forbidden | SourceError::TokenRefused)) => Err(EndRefusal::of(error).into()),
        _ => Ok(Turn::Taken),
    }
}

/// Whether authentik shows one of these sessions as that user's. The request names a number only, and behind another
/// instance the number is somebody else.
async fn is_theirs(running: &Running<'_>, client: &Client, waiting: &[AskedEnd]) -> Result<bool, StoreError> {
    for asked in waiting.iter().take(RECOGNIZED_BY) {
        if !running.goes_on().await? {
            return Ok(false);
        }
        let seen = client.session(asked.uuid).await.value;
        if seen.is_ok_and(|seen| (seen.uuid, seen.user) == (asked.uuid, asked.user_pk)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What became of each session after the request, which had this error. At most as many are looked at in a second as may
/// end.
async fn look_at_each(
    running: &Running<'_>,
    (client, source): (&Client, &SourceRow),
    waiting: &[AskedEnd],
    error: Option<&SourceError>,
) -> Result<(), ActionError> {
    let (began, mut gone) = (Instant::now(), Vec::new());
    for (nth, asked) in waiting.iter().enumerate() {
        let seen = if running.wait(began + running.time_of(nth)).await? {
            is_gone(running, client, source, asked).await?
        } else {
            Gone::NotAsked
        };
        match (seen, error) {
            (Gone::Not, _) => give_up(running.app, vec![asked.id], false).await?,
            (Gone::Certainly, None) => gone.push((asked.uuid, EndReason::Gone)),
            // The poller looks into it from now on.
            (Gone::Certainly | Gone::Perhaps(_), Some(error)) => doubt(running.app, [asked], &error.to_string()).await?,
            (Gone::Perhaps(why), None) => doubt(running.app, [asked], &why).await?,
            (Gone::NotAsked, error) => {
                let why = error.map_or_else(|| STOPPED.to_owned(), |error| format!("{error}, and {STOPPED}"));
                doubt(running.app, waiting.iter().skip(nth), &why).await?;
                break;
            }
        }
    }
    Ok(end(running.app, source, gone).await?)
}

async fn end(app: &App, source: &SourceRow, gone: Vec<(SessionId, EndReason)>) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    let (source, now) = (source.clone(), app.clock.now());
    let written = app.store.write(move |db| Box::pin(async move { end_in(db, &source, &gone, now).await }));
    let count: Result<usize, StoreError> = written.await;
    count.map(drop)
}

async fn doubt(app: &App, asked: impl IntoIterator<Item = &AskedEnd>, why: &str) -> Result<(), StoreError> {
    let (ids, why): (Vec<i64>, _) = (asked.into_iter().map(|asked| asked.id).collect(), why.to_owned());
    app.store.write(move |db| Box::pin(async move { db.doubt_asked_ends(&ids, &why).await })).await
}

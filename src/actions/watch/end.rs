//! Ends one session at the watched authentik. authentik ends it; Rollcall asks for it once, reads it back, and writes the
//! outcome down. Nothing is queued: an end that comes an hour later would be a surprise.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::end::count_end;
use crate::actions::watch::look;
use crate::actions::watch::record::{end_in, still_there_in};
use crate::actions::watch::refusal::EndRefusal;
use crate::domain::source::{CopyState, ends_doubted};
use crate::domain::{EndReason, SessionId};
use crate::metrics;
use crate::store::StoreError;
use crate::store::watch::asked::{AskedEnd, NewAsk};
use crate::store::watch::sources::SourceRow;
use crate::watch::{Client, SourceError};

/// How old the copy may be.
const FRESH: Duration = Duration::from_secs(60);

/// A session ended at authentik.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedAtSource {
    /// Why it is not promised that authentik refuses the session from now on, as sentences; `""`: it does.
    pub doubt: &'static str,
}

/// Ends a session at authentik.
///
/// # Errors
/// [`ActionError::NotFound`] as for [`look::find`], and when authentik has no such session any more;
/// [`ActionError::Forbidden`] when the caller may not end everybody's sessions; [`ActionError::EndsRefused`];
/// [`ActionError::AtSource`] says what authentik did instead.
pub async fn end_one(app: &App, by: By<'_>, uuid: SessionId, comment: &str) -> Result<EndedAtSource, ActionError> {
    let (source, row) = look::find(app, by, uuid).await?;
    must_end(by)?;
    let client = client(app)?;
    must_be_fresh(app, &source)?;
    if let By::Principal(who, actor) = by {
        count_end(app, who, source.id.burst_key(row.session.user_pk), actor).await?;
    }
    read_afresh(client, uuid, row.session.user_pk).await?;
    let (ask, now, id) = (NewAsk::of(&by.actor(), comment), app.clock.now(), source.id);
    let these = (uuid, row.session.user_pk);
    let asked = app.store.write(move |db| {
        Box::pin(async move {
            let is_new = db.ask_end(id, these, &ask, now).await?;
            Ok::<_, StoreError>(if is_new { db.find_asked_end(id, uuid).await? } else { None })
        })
    });
    let asked = asked.await?.ok_or(EndRefusal::UnderWay)?;
    // It goes on when the caller does not wait for the answer.
    let (app, doubt) = (app.clone(), ends_doubted(&source.status.version));
    let work = tokio::spawn(async move { send(&app, &source, &asked).await });
    work.await.map_err(|_| StoreError::Failed("an end was interrupted".into()))??;
    Ok(EndedAtSource { doubt })
}

/// Lets those pass who may end everybody's sessions.
pub(super) fn must_end(by: By<'_>) -> Result<(), ActionError> {
    match by {
        By::Principal(who, _) if !who.rights.may_delete_sessions => Err(ActionError::Forbidden),
        _ => Ok(()),
    }
}

pub(super) fn client(app: &App) -> Result<&Client, EndRefusal> {
    app.watched.as_ref().ok_or(EndRefusal::NotSet)
}

/// Refuses while the copy is in doubt or old, and while authentik is not to be used.
pub(super) fn must_be_fresh(app: &App, source: &SourceRow) -> Result<(), EndRefusal> {
    let status = &source.status;
    match status.state {
        CopyState::InDoubt => return Err(EndRefusal::InDoubt(status.detail.clone())),
        CopyState::Refused | CopyState::Unreadable => return Err(EndRefusal::Unusable(status.detail.clone())),
        CopyState::Copying | CopyState::Fresh | CopyState::Away => {}
    }
    let age = (status.seen_at.0 > 0).then(|| app.clock.now().since(status.seen_at));
    if age.is_some_and(|age| age <= FRESH) { Ok(()) } else { Err(EndRefusal::old(age)) }
}

/// Reads the session once more: authentik must have it, and as the same user's.
pub(super) async fn read_afresh(client: &Client, uuid: SessionId, user: i64) -> Result<(), ActionError> {
    match client.session(uuid).await.value {
        Ok(seen) if (seen.uuid, seen.user) == (uuid, user) => Ok(()),
        Ok(_) => Err(EndRefusal::Unusable("it has the session as another user's".into()).into()),
        Err(SourceError::Missing) => Err(ActionError::NotFound),
        Err(SourceError::Forbidden) => {
            let why = "the token's owner lacks the permission authentik_core.view_authenticatedsession";
            Err(EndRefusal::Unusable(why.into()).into())
        }
        Err(error) => Err(EndRefusal::of(error).into()),
    }
}

/// Sends the request, reads the session back, and writes the outcome down.
pub(super) async fn send(app: &App, source: &SourceRow, asked: &AskedEnd) -> Result<(), ActionError> {
    let outcome = send_and_settle(app, source, asked).await;
    metrics::count_source_end(match &outcome {
        Ok(()) => "ended",
        Err(ActionError::NotFound) => "gone",
        Err(ActionError::AtSource(EndRefusal::NotKnown(_))) => "unknown",
        Err(ActionError::AtSource(EndRefusal::StillThere(_))) => "still_there",
        Err(_) => "refused",
    });
    outcome
}

async fn send_and_settle(app: &App, source: &SourceRow, asked: &AskedEnd) -> Result<(), ActionError> {
    let client = client(app)?;
    let sent = client.end(asked.uuid).await.value;
    if let Err(error) = &sent
        && !error.may_be_done()
    {
        let (id, is_gone, now) = (asked.id, *error == SourceError::Missing, app.clock.now());
        let given_up: Result<(), StoreError> =
            app.store.write(move |db| Box::pin(async move { db.give_up_asked_end(id, is_gone, now).await })).await;
        given_up?;
        // It is gone already, and the poller finds out why.
        return Err(if is_gone { ActionError::NotFound } else { EndRefusal::of(error.clone()).into() });
    }
    let seen = client.session(asked.uuid).await.value;
    match (sent, seen) {
        (Ok(()), Err(SourceError::Missing)) => ended(app, source, asked).await,
        (Err(error), Ok(_)) if error.is_answered() => still_there(app, source, asked, &error.to_string()).await,
        (Ok(()), Ok(_)) => not_known(app, asked, "authentik said that it ended the session, and goes on to show it").await,
        (Ok(()), Err(error)) => not_known(app, asked, &format!("it could not be read back, {error}")).await,
        (Err(error), _) => not_known(app, asked, &error.to_string()).await,
    }
}

async fn ended(app: &App, source: &SourceRow, asked: &AskedEnd) -> Result<(), ActionError> {
    let (source, gone, now) = (source.clone(), [(asked.uuid, EndReason::Gone)], app.clock.now());
    let written: Result<usize, StoreError> =
        app.store.write(move |db| Box::pin(async move { end_in(db, &source, &gone, now).await })).await;
    written?;
    Ok(())
}

async fn still_there(app: &App, source: &SourceRow, asked: &AskedEnd, why: &str) -> Result<(), ActionError> {
    let (source, asked, text, now) = (source.clone(), asked.clone(), why.to_owned(), app.clock.now());
    let written: Result<(), StoreError> =
        app.store.write(move |db| Box::pin(async move { still_there_in(db, &source, &asked, &text, now).await })).await;
    written?;
    Err(EndRefusal::StillThere(why.to_owned()).into())
}

/// The poller looks into it from now on.
async fn not_known(app: &App, asked: &AskedEnd, why: &str) -> Result<(), ActionError> {
    let (id, text) = (asked.id, why.to_owned());
    let written: Result<(), StoreError> =
        app.store.write(move |db| Box::pin(async move { db.doubt_asked_ends(&[id], &text).await })).await;
    written?;
    tracing::warn!(session = %asked.uuid, why, "it is not known whether authentik ended a session");
    Err(EndRefusal::NotKnown(why.to_owned()).into())
}

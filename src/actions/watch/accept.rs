//! Takes another authentik in the place of the one that the copy is of, when an operator says so. The copied sessions are
//! forgotten: nobody here can know whether they ended. What ended before stays in the history as it is, and its users are
//! not taken for users of the new instance who have the same numbers.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::error::{OWNER, PollError, SESSION, SESSIONS};
use crate::actions::watch::job::write_totals;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::source::NAME;
use crate::store::sessions::end_job::Lease;
use crate::store::watch::instances::{Forgotten, NewInstance};
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, StoreError};
use crate::watch::answer::SeenOwner;
use crate::watch::call::Order;
use crate::watch::{Client, SourceError, Timed};

/// How many sessions of the copy are looked at to recognize a source behind another token.
pub(super) const RECOGNIZED_BY: i64 = 8;
/// Why a job ended that was under way.
const REPLACED: &str = "another authentik was taken in the place of the one whose sessions it ends";

/// Why another authentik was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Nothing was copied so far, so that there is nothing to forget.
    #[error("nothing was copied so far: the next poll takes the authentik that answers")]
    NothingCopied,
    /// The copy is of the instance that answers.
    #[error("the copy is of this authentik already, and nothing is to be accepted")]
    Same,
    /// The copy is of the instance that answers, and the token is another one.
    #[error("authentik shows a session of the copy, so it is the same one with another token: the next poll takes the token")]
    Recognized,
    /// Another one answers by now, or somebody else accepted one.
    #[error("another authentik answers than a moment ago, or it was accepted by somebody else; nothing was changed")]
    Changed,
    /// authentik does not answer as it must, or may not be used; or the caller has no right, or the database does not answer.
    #[error(transparent)]
    Poll(#[from] PollError),
}

impl From<ActionError> for AcceptError {
    fn from(error: ActionError) -> Self {
        Self::Poll(error.into())
    }
}

/// The authentik that answers, next to what the copy is of.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The address that was asked.
    pub url: String,
    /// The owner of the token there.
    pub owner: SeenOwner,
    /// The version, or `""`.
    pub version: String,
    /// How many sessions the token sees there.
    pub visible: u32,
    /// What the copy is of.
    pub source: SourceRow,
    /// How many sessions are copied.
    pub copied: i64,
}

/// Whether the authentik that answers is the one that a copy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instance {
    /// It is, and the token has the same owner.
    Same,
    /// It is, and the token has another owner: a session of the copy is visible.
    Recognized,
    /// No session of the copy is visible: it is another one, or the token sees no sessions of others.
    Another,
}

/// Asks who answers, and whether it is another authentik than the copy is of. It changes nothing.
///
/// # Errors
/// [`AcceptError`] when there is nothing to accept.
pub async fn look(app: &App, by: By<'_>) -> Result<Offer, AcceptError> {
    by.must_operate()?;
    let client = app.watched.as_ref().ok_or(PollError::NotSet)?;
    let source = app.store.read().find_source(NAME).await.map_err(PollError::from)?;
    let source = source.filter(|source| !source.status.owner_uid.is_empty()).ok_or(AcceptError::NothingCopied)?;
    let owner = answered(OWNER, client.owner().await)?;
    if owner.is_superuser && !client.source().allow_superuser {
        return Err(PollError::Superuser.into());
    }
    match compare(&app.store.read(), client, &source, &owner).await? {
        Instance::Same => return Err(AcceptError::Same),
        Instance::Recognized => return Err(AcceptError::Recognized),
        Instance::Another => {}
    }
    let visible = answered(SESSIONS, client.sessions(Order::Uuid, 1, 1).await)?.pagination.count;
    let copied = app.store.read().count_watched(source.id).await.map_err(PollError::from)?;
    let version = client.version().await.value.unwrap_or_default();
    Ok(Offer { url: client.source().url.origin().to_owned(), owner, version, visible, source, copied })
}

/// Whether the authentik that answers with this owner of the token is the one that the copy is of.
///
/// # Errors
/// When authentik or the database does not answer.
pub async fn compare(db: &Db<'_>, client: &Client, source: &SourceRow, owner: &SeenOwner) -> Result<Instance, PollError> {
    if (source.status.owner_pk, source.status.owner_uid.as_str()) == (owner.pk, owner.uid.as_str()) {
        return Ok(Instance::Same);
    }
    for uuid in db.list_latest_watched(source.id, owner.pk, RECOGNIZED_BY).await? {
        match answered(SESSION, client.session(uuid).await) {
            Ok(_) => return Ok(Instance::Recognized),
            Err(PollError::Source { error: SourceError::Missing, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Instance::Another)
}

/// Takes the authentik of an offer, if it still answers: forgets the copy, and begins it anew.
///
/// # Errors
/// [`AcceptError::Changed`] when another one answers by now.
pub async fn accept(app: &App, by: By<'_>, offer: &Offer) -> Result<Forgotten, AcceptError> {
    by.must_operate()?;
    let client = app.watched.as_ref().ok_or(PollError::NotSet)?;
    if answered(OWNER, client.owner().await)? != offer.owner {
        return Err(AcceptError::Changed);
    }
    let new = NewInstance {
        url: offer.url.clone(),
        version: offer.version.clone(),
        owner_pk: offer.owner.pk,
        owner_uid: offer.owner.uid.clone(),
    };
    let forgotten = replace(app, &by.actor(), &offer.source, new, None).await.map_err(PollError::from)?;
    forgotten.ok_or(AcceptError::Changed)
}

/// Makes the source another instance, ends what is under way at the one before, and writes the event. Gives what was
/// forgotten; `None`: the source is another instance by now.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn replace(
    app: &App,
    actor: &Actor,
    source: &SourceRow,
    new: NewInstance,
    lease: Option<Lease>,
) -> Result<Option<Forgotten>, StoreError> {
    let (source, actor, now) = (source.clone(), actor.clone(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                let Some(forgotten) = db.replace_instance(&source, &new, lease, now).await? else { return Ok(None) };
                for job in db.fail_source_jobs(source.id, REPLACED, now).await? {
                    write_totals(db, &job).await?;
                }
                let (sessions, ends) = (forgotten.sessions as u64, forgotten.ends);
                let content = EventContent::SourceReplaced { source: source.name.clone(), url: new.url, sessions, ends };
                db.insert_events(&[content.by(&actor, now)]).await?;
                Ok(Some(forgotten))
            })
        })
        .await
}

fn answered<T>(what: &'static str, answer: Timed<T>) -> Result<T, PollError> {
    answer.value.map_err(|error| PollError::Source { what, error })
}

//! Ends of many sessions at the watched authentik: a job that goes on after the request, and after a restart.

use std::collections::BTreeMap;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::end::listed;
use crate::actions::sessions::end_job::EndTarget;
use crate::actions::sessions::end_matching::{EndError, is_near};
use crate::actions::watch::end::{client, must_be_fresh, must_end};
use crate::actions::watch::job;
use crate::actions::watch::look::must_see;
use crate::domain::event::{EventContent, FilterTerms};
use crate::domain::listing::SessionFilter;
use crate::domain::source::{JobState, NAME, Origin};
use crate::domain::{SessionId, secret};
use crate::store::StoreError;
use crate::store::watch::asked::NewAsk;
use crate::store::watch::jobs::{NewSourceJob, SourceJob};
use crate::store::watch::sources::SourceRow;

/// How many sessions one statement adds to a job.
const TOGETHER: usize = 500;

/// Which sessions of authentik to end.
#[derive(Clone, Debug)]
pub struct ManyEnds {
    /// Those that match a filter whose source is authentik, or those with these UUIDs.
    pub which: EndTarget,
    /// How many there should be: as many for everyone's, else within 1 %. `None`: it does not matter.
    pub expected: Option<u64>,
    /// Why, as a comment, or `""`.
    pub comment: String,
}

/// A job, and how far it is.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The job.
    pub job: SourceJob,
    /// How many sessions ended.
    pub ended: i64,
    /// How many had ended before their turn came.
    pub gone: i64,
    /// Of how many it is not known.
    pub unknown: i64,
    /// How many were still there after authentik failed.
    pub still_there: i64,
    /// Of how many it will never be known: another authentik was taken in the place of that one.
    pub lost: i64,
}

impl JobView {
    /// How many have had their turn.
    #[must_use]
    pub fn done(&self) -> i64 {
        self.ended + self.gone + self.unknown + self.still_there + self.lost
    }

    /// Whether a process runs it, or will.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.job.state, JobState::Running | JobState::Stopping)
    }
}

/// Begins to end sessions at authentik, and gives the name of the job.
///
/// # Errors
/// [`ActionError::NotFound`] for callers who do not see everybody's sessions, and when no authentik was ever watched;
/// [`ActionError::Forbidden`] for those who may not end them; [`ActionError::AtSource`] while the copy is in doubt or old;
/// [`ActionError::Elsewhere`] for a filter of other sessions; [`EndError::Changed`] when another number matches than expected.
pub async fn begin(app: &App, by: By<'_>, what: ManyEnds) -> Result<String, EndError> {
    must_see(by)?;
    must_end(by)?;
    let source = app.store.read().find_source(NAME).await.map_err(ActionError::from)?.ok_or(ActionError::NotFound)?;
    client(app).map_err(ActionError::from)?;
    must_be_fresh(app, &source).map_err(ActionError::from)?;
    let these = matching(app, &source, &what.which).await?;
    let is_everyone = is_everyone(&what.which);
    let count = these.len() as u64;
    let is_right = |expected: u64| if is_everyone { count == expected } else { is_near(count, expected) };
    if what.expected.map_or(is_everyone, |expected| !is_right(expected)) {
        return Err(EndError::Changed(count));
    }
    Ok(add(app, by, &source, what, these).await?)
}

/// Whether all sessions of everybody are meant.
#[must_use]
pub fn is_everyone(which: &EndTarget) -> bool {
    matches!(which, EndTarget::Matching(filter) if !filter.is_narrow())
}

/// The sessions of the copy that are meant, each with its user.
async fn matching(app: &App, source: &SourceRow, which: &EndTarget) -> Result<Vec<(SessionId, i64)>, ActionError> {
    let (id, which) = (source.id, which.clone());
    if matches!(&which, EndTarget::Matching(filter) if filter.source != Some(Origin::Authentik)) {
        return Err(ActionError::Elsewhere);
    }
    let found: Result<Vec<(SessionId, i64)>, StoreError> = app
        .store
        .long_read(move |db| {
            Box::pin(async move {
                let mut found = Vec::new();
                match which {
                    EndTarget::Named(uuids) => {
                        let rows = db.list_watched(id, &uuids).await?;
                        found.extend(rows.into_iter().map(|row| (row.session.uuid, row.session.user_pk)));
                    }
                    EndTarget::Matching(filter) => {
                        for keys in db.list_watched_matching(&filter).await?.chunks(TOGETHER) {
                            let rows = db.list_watched_by_key(keys).await?;
                            found.extend(rows.into_iter().map(|row| (row.uuid, row.user_id.0)));
                        }
                    }
                }
                Ok(found)
            })
        })
        .await;
    Ok(found?)
}

/// How many sessions of the copy are meant.
///
/// # Errors
/// As [`begin`], for callers who do not see everybody's sessions and for filters of others.
pub async fn count(app: &App, by: By<'_>, which: &EndTarget) -> Result<u64, ActionError> {
    must_see(by)?;
    let source = app.store.read().find_source(NAME).await?.ok_or(ActionError::NotFound)?;
    Ok(matching(app, &source, which).await?.len() as u64)
}

/// Writes the job, its event and its sessions down, and starts it.
async fn add(
    app: &App,
    by: By<'_>,
    source: &SourceRow,
    what: ManyEnds,
    these: Vec<(SessionId, i64)>,
) -> Result<String, ActionError> {
    let (actor, now, name) = (by.actor(), app.clock.now(), secret::random_alphanumeric(20)?);
    let lease = app.end_jobs.lease(now).ok_or(StoreError::Failed("no randomness".into()))?;
    let terms = record(app, source, &what.which, &these).await?;
    let filter = serde_json::to_string(&terms).map_err(|error| StoreError::Failed(error.to_string()))?;
    let content = content(&source.name, terms, these.len() as u64, None, &what.comment);
    let event = content.by(&actor, now);
    let ask = NewAsk::of(&actor, &what.comment);
    let is_whole_user = is_whole_user(&what.which, &these);
    let (total, source) = (i64::try_from(these.len()).unwrap_or(i64::MAX), source.id);
    let mut new = NewSourceJob { name: name.clone(), source, is_whole_user, ask, filter, total, event: 0 };
    let job = app.store.write(move |db| {
        Box::pin(async move {
            new.event = db.insert_parent_event(&event).await?;
            let id = db.insert_source_job(&new, &lease, now).await?;
            for some in these.chunks(TOGETHER) {
                db.wait_ends(source, (id, new.event), some, &new.ask, now).await?;
            }
            db.find_source_job(&new.name).await
        })
    });
    let job: Result<Option<SourceJob>, StoreError> = job.await;
    let job = job?.ok_or(ActionError::NotFound)?;
    let (app, running) = (app.clone(), app.end_jobs.start());
    tokio::spawn(async move {
        job::run(&app, job).await;
        drop(running);
    });
    Ok(name)
}

/// Whether a filter says nothing but whose sessions, so that all of that user's are meant.
fn is_whole_user(which: &EndTarget, these: &[(SessionId, i64)]) -> bool {
    let EndTarget::Matching(filter) = which else { return false };
    let rest = SessionFilter { user: None, username: None, ..(**filter).clone() };
    let is_of_one = these.first().is_some_and(|(_, user)| these.iter().all(|(_, other)| other == user));
    filter.is_narrow() && !rest.is_narrow() && is_of_one
}

/// What is meant, for events: users by name, since a name says more than a number at authentik.
async fn record(app: &App, source: &SourceRow, which: &EndTarget, these: &[(SessionId, i64)]) -> Result<FilterTerms, StoreError> {
    let filter = match which {
        EndTarget::Named(uuids) => return Ok(listed(uuids)),
        EndTarget::Matching(filter) => filter,
    };
    let mut terms = SessionFilter { user: None, source: None, except: None, ..(**filter).clone() }.terms();
    if let (Some(user), Some((uuid, _))) = (filter.user, these.first()) {
        let row = app.store.read().list_watched(source.id, &[*uuid]).await?.into_iter().next();
        let name = row.map_or_else(|| format!("user {}", user.0), |row| row.shown_name());
        terms.entry("username".to_owned()).or_insert(name);
    }
    Ok(terms)
}

pub(super) fn content(source: &str, filter: FilterTerms, expected: u64, count: Option<u64>, comment: &str) -> EventContent {
    EventContent::SourceSessionsEnded { source: source.to_owned(), filter, expected, count, comment: comment.to_owned() }
}

/// A job, and how far it is.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or the caller does not see everybody's sessions.
pub async fn find(app: &App, by: By<'_>, name: &str) -> Result<JobView, ActionError> {
    must_see(by)?;
    let job = app.store.read().find_source_job(name).await?.ok_or(ActionError::NotFound)?;
    view(app, job).await
}

/// The jobs of the last day, the latest first.
///
/// # Errors
/// [`ActionError::NotFound`] for callers who do not see everybody's sessions.
pub async fn list(app: &App, by: By<'_>) -> Result<Vec<JobView>, ActionError> {
    must_see(by)?;
    let mut views = Vec::new();
    for job in app.store.read().list_source_jobs().await? {
        views.push(view(app, job).await?);
    }
    Ok(views)
}

async fn view(app: &App, job: SourceJob) -> Result<JobView, ActionError> {
    let counts: BTreeMap<String, i64> = app.store.read().count_asked(job.id).await?.into_iter().collect();
    let count = |state: &str| counts.get(state).copied().unwrap_or(0);
    let (ended, gone, still_there) = (count("ended"), count("gone"), count("still_there"));
    Ok(JobView { job, ended, gone, unknown: count("unknown") + count("sent"), still_there, lost: count("lost") })
}

/// Tells a job to stop: what ended stays ended, and the rest is left alone.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none that goes on, or as for [`find`]; [`ActionError::Forbidden`] for those who
/// may not end sessions.
pub async fn stop(app: &App, by: By<'_>, name: &str) -> Result<(), ActionError> {
    must_see(by)?;
    must_end(by)?;
    let name = name.to_owned();
    let is_told = app.store.write(move |db| Box::pin(async move { db.stop_source_job(&name).await })).await?;
    if is_told { Ok(()) } else { Err(ActionError::NotFound) }
}

//! What apps are owed when sessions end, for those who look after it: listing, sending now, dropping, and a test.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::logout_token::{self, Said};
use crate::actions::oidc::notify;
use crate::domain::application::ApplicationRule;
use crate::domain::oidc::notice::NoticeState;
use crate::domain::{SessionId, Timestamp, secret};
use crate::store::oidc::notices::{NoticeFilter, NoticeRow, NoticeSummary, OfApplication};

/// How long delivered notices stay, and those that were given up.
const TOLD_STAY: Duration = Duration::from_secs(7 * 24 * 3600);
const GIVEN_UP_STAY: Duration = Duration::from_secs(90 * 24 * 3600);
/// A day, in microseconds.
const DAY: i64 = 24 * 3600 * 1_000_000;

/// What a test came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Whether the app took it.
    pub is_delivered: bool,
    /// What it came to, in words.
    pub said: String,
}

/// The notices of an application, by slug; of one that is gone, by the slug that it had.
///
/// # Errors
/// When the database does not answer.
pub async fn of_application(app: &App, slug: &str) -> Result<NoticeFilter, ActionError> {
    let id = app.store.read().find_application_id(slug).await?;
    let application = id.map_or_else(|| OfApplication::Gone(slug.to_owned()), OfApplication::Here);
    Ok(NoticeFilter { application: Some(application), ..NoticeFilter::default() })
}

/// How many notices there are.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or an auditor asks.
pub async fn count(app: &App, by: By<'_>, filter: &NoticeFilter) -> Result<i64, ActionError> {
    by.must_inspect()?;
    Ok(app.store.read().count_notices(filter, app.clock.now()).await?)
}

/// Notices, the newest first: those after the first `skip`, at most `limit`.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or an auditor asks.
pub async fn list(app: &App, by: By<'_>, filter: &NoticeFilter, skip: i64, limit: i64) -> Result<Vec<NoticeRow>, ActionError> {
    by.must_inspect()?;
    Ok(app.store.read().list_notices(filter, app.clock.now(), skip, limit).await?)
}

/// What is seen of the notices of an application, and those that need a look first: the newest given-up ones, then those that
/// wait, then those that are settled; at most `limit` of each.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or an auditor asks.
pub async fn summary(app: &App, by: By<'_>, application: i64, limit: i64) -> Result<(NoticeSummary, Vec<NoticeRow>), ActionError> {
    by.must_inspect()?;
    let (db, now) = (app.store.read(), app.clock.now());
    let day = Timestamp(now.0 - now.0.rem_euclid(DAY));
    let summary = db.find_notice_summary(application, day).await?;
    let mut rows = Vec::new();
    let states = [NoticeState::GivenUp, NoticeState::Sending, NoticeState::Waiting, NoticeState::Delivered, NoticeState::Dropped];
    for state in states.into_iter().filter(|_| limit > 0) {
        let application = Some(OfApplication::Here(application));
        let filter = NoticeFilter { application, state: Some(state), ..NoticeFilter::default() };
        rows.extend(db.list_notices(&filter, now, 0, limit).await?);
    }
    Ok((summary, rows))
}

/// How many apps are to be told of the ends since an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many were told.
    pub told: i64,
    /// How many are told later.
    pub waiting: i64,
    /// How many are not told: it was given up, or somebody dropped it.
    pub not_told: i64,
    /// Whether sessions are still being moved to the history: what is owed for them is not known yet.
    pub is_moving: bool,
}

impl Progress {
    /// How many there are.
    #[must_use]
    pub fn all(&self) -> i64 {
        self.told + self.waiting + self.not_told
    }
}

/// What became of what is owed since an instant.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator or an auditor asks.
pub async fn progress(app: &App, by: By<'_>, since: Timestamp) -> Result<Progress, ActionError> {
    by.must_inspect()?;
    let db = app.store.read();
    // First whether some are moved, then what is owed: in the other order the last ones could be missed.
    let is_moving = db.find_last_pending_end().await?.is_some();
    let mut progress = Progress { is_moving, ..Progress::default() };
    for (state, count) in db.count_notices_since(since).await? {
        match state {
            NoticeState::Delivered => progress.told += count,
            NoticeState::Waiting | NoticeState::Sending => progress.waiting += count,
            NoticeState::GivenUp | NoticeState::Dropped => progress.not_told += count,
        }
    }
    Ok(progress)
}

/// Has notices sent now that wait or were given up; gives how many.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it.
pub async fn send(app: &App, by: By<'_>, filter: NoticeFilter) -> Result<u64, ActionError> {
    by.must_administer()?;
    let now = app.clock.now();
    Ok(app.store.write(move |db| Box::pin(async move { db.hasten_notices(&filter, now).await })).await?)
}

/// Drops notices that wait or were given up: the app is not told. Gives how many.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it.
pub async fn drop_them(app: &App, by: By<'_>, filter: NoticeFilter) -> Result<u64, ActionError> {
    by.must_administer()?;
    let now = app.clock.now();
    Ok(app.store.write(move |db| Box::pin(async move { db.drop_notices(&filter, now).await })).await?)
}

/// Says why none of the notices that are named was sent or dropped, where none was.
///
/// # Errors
/// [`ActionError::NotFound`]; [`ApplicationRule::NoticeSettled`]; [`ActionError::Forbidden`] unless an administrator or an
/// auditor asks.
pub async fn must_be_open(app: &App, by: By<'_>, done: u64, filter: &NoticeFilter) -> Result<(), ActionError> {
    if done > 0 {
        return by.must_inspect();
    }
    Err(if count(app, by, filter).await? == 0 { ActionError::NotFound } else { ApplicationRule::NoticeSettled.into() })
}

/// Sends the app of an application a message about a session that there never was, and gives what it came to.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`]; [`ApplicationRule::NoClient`];
/// [`ApplicationRule::NoBackChannel`].
pub async fn test(app: &App, by: By<'_>, slug: &str) -> Result<Tested, ActionError> {
    by.must_administer()?;
    let application = app.store.applications().await?.by_slug(slug).cloned().ok_or(ActionError::NotFound)?;
    let part = application.client.as_ref().ok_or(ApplicationRule::NoClient)?;
    let target = part.client.back_channel_uri.as_ref().ok_or(ApplicationRule::NoBackChannel)?;
    let (slug, client_id, algorithm) = (application.slug.as_str(), part.client_id.as_str(), part.client.algorithm);
    let session = SessionId(secret::random_uuid()?);
    let not_sent = |said| Tested { is_delivered: false, said };
    let token = match logout_token::sign(app, Said { slug, client_id, algorithm, session, sub: None }).await {
        Ok(token) => token,
        Err(why) => return Ok(not_sent(why)),
    };
    let sender = match notify::sender(app).await {
        Ok(sender) => sender,
        Err(why) => return Ok(not_sent(why)),
    };
    let answered = sender.post_form(target, format!("logout_token={token}")).await;
    let is_delivered = answered.as_ref().is_ok_and(crate::outbound::Answer::is_success);
    Ok(Tested { is_delivered, said: notify::said(&answered) })
}

/// Removes notices whose time is over. A job calls it.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn sweep(app: &App, by: By<'_>) -> Result<u64, ActionError> {
    by.must_operate()?;
    let now = app.clock.now();
    let (told, given_up) = (now.minus(TOLD_STAY), now.minus(GIVEN_UP_STAY));
    let swept = app.store.write(move |db| {
        Box::pin(async move {
            let swept = db.delete_old_notices(told, given_up).await?;
            Ok::<_, ActionError>(swept + db.delete_lines_of_gone_apps().await?)
        })
    });
    swept.await
}

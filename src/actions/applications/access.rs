//! Who may open applications, without a request: `check_access/`, the list of applications and My apps; and which app
//! sessions may go on after a change.

use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::domain::application::Application;
use crate::domain::application::decide::{Ask, Decision, Door, decide};
use crate::domain::application::session::AppEndReason;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::{Timestamp, UserId};
use crate::store::Db;
use crate::store::applications::app_sessions::AppSessionFilter;
use crate::store::applications::people::Subject;

/// Whether a user may open an application, by `allow` alone.
fn answer(application: &Application, subject: &Subject, now: Timestamp) -> Decision {
    let ask = Ask { person: Some(&subject.person), door: Door::Question, address: None, country: "", now };
    decide(&application.access, &ask)
}

/// The applications that a user may open, by slug; hidden ones too.
///
/// # Errors
/// [`ActionError::Forbidden`] for another user, unless an administrator or auditor asks; [`ActionError::NotFound`] without such a
/// user.
pub async fn list_allowed(app: &App, by: By<'_>, user: UserId) -> Result<Vec<Arc<Application>>, ActionError> {
    by.must_own_or_inspect(user)?;
    let subject = app.store.read().find_subject(user).await?.ok_or(ActionError::NotFound)?;
    let (all, now) = (app.store.applications().await?, app.clock.now());
    let may = |application: &&Arc<Application>| subject.is_active && answer(application, &subject, now).is_met();
    Ok(all.all().iter().filter(may).cloned().collect())
}

/// Whether a user may open an application, and what is missing.
///
/// # Errors
/// [`ActionError::Forbidden`] for another user, unless an administrator or auditor asks; [`ActionError::NotFound`] without such an
/// application or user.
pub async fn check(app: &App, by: By<'_>, slug: &str, user: UserId) -> Result<Decision, ActionError> {
    by.must_own_or_inspect(user)?;
    let applications = app.store.applications().await?;
    let application = applications.by_slug(slug).ok_or(ActionError::NotFound)?;
    let subject = app.store.read().find_subject(user).await?.ok_or(ActionError::NotFound)?;
    Ok(answer(application, &subject, app.clock.now()))
}

/// Ends the app sessions of an application whose users may not open it any more, in a transaction.
pub(in crate::actions) async fn end_refused(
    db: &Db<'_>,
    application: &Application,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ActionError> {
    let filter = AppSessionFilter { application: Some(application.slug.clone()), ..AppSessionFilter::default() };
    let mut ends = Vec::new();
    let mut decided: std::collections::HashMap<i64, bool> = std::collections::HashMap::new();
    for row in db.list_app_sessions(&filter, 0, i64::MAX).await? {
        let may_go_on = match decided.get(&row.user_id.0) {
            Some(known) => *known,
            None => {
                let subject = db.find_subject(row.user_id).await?;
                let may = subject.is_some_and(|subject| answer(application, &subject, now).is_met());
                decided.insert(row.user_id.0, may);
                may
            }
        };
        if !may_go_on {
            ends.push(row.id);
        }
    }
    if ends.is_empty() {
        return Ok(());
    }
    ends.sort_unstable();
    db.end_app_sessions(&ends, now).await?;
    let content = EventContent::AppSessionEnded {
        application: application.slug.clone(),
        reason: AppEndReason::AccessChanged,
        count: ends.len() as u64,
    };
    Ok(db.insert_events(&[content.by(actor, now)]).await?)
}

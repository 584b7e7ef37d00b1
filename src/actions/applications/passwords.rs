//! App passwords: what a program presents for an application.

use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::access;
use crate::actions::by::By;
use crate::actions::tokens::{self, APP_PASSWORD_PREFIX, TokenRequest};
use crate::domain::PlainSecret;
use crate::domain::UserId;
use crate::domain::application::{Application, ApplicationRule};
use crate::domain::user::TokenIntent;
use crate::store::applications::cache::Applications;
use crate::store::applications::passwords::AppPasswordOwner;
use crate::store::applications::people::Subject;

/// An app password that was accepted as one for an application; whether its user may is decided by
/// [`Door::AppPassword`](crate::domain::application::decide::Door::AppPassword).
#[derive(Clone, Debug)]
pub struct AppPassword {
    /// The token, and its owner.
    pub owner: AppPasswordOwner,
    /// What access and headers need to know of the owner.
    pub subject: Subject,
    /// The applications at that moment.
    pub applications: Arc<Applications>,
}

/// The app password with this key, if it is one for this application, has not expired, and its owner is active. A key
/// that does not begin with `rcp_` is none: it may be known elsewhere.
///
/// # Errors
/// When the database does not answer.
pub async fn app_password(app: &App, key: &str, application: &Application) -> Result<Option<AppPassword>, ActionError> {
    if !key.starts_with(APP_PASSWORD_PREFIX) {
        return Ok(None);
    }
    let (db, hash) = (app.store.read(), PlainSecret::from_text(key).hash());
    let Some(owner) = db.find_app_password_owner(hash, application.id, app.clock.now()).await? else { return Ok(None) };
    let Some(subject) = db.find_subject(owner.user_id).await?.filter(|subject| subject.is_active) else { return Ok(None) };
    let applications = app.store.applications_at(owner.version).await?;
    Ok(Some(AppPassword { owner, subject, applications }))
}

/// The applications for which a user can make app passwords, by slug: those that the user may open and that accept them.
///
/// # Errors
/// Those of [`access::list_allowed`].
pub async fn offered(app: &App, by: By<'_>, user: UserId) -> Result<Vec<Arc<Application>>, ActionError> {
    let mut offered = access::list_allowed(app, by, user).await?;
    offered.retain(|application| application.accepts_app_passwords());
    Ok(offered)
}

/// Makes an app password for a user and these applications, by slug, and gives its identifier and its key, which is shown
/// this once.
///
/// # Errors
/// Those of [`tokens::add`]; [`ActionError::Application`] without any application, for one that there is not, and for one
/// that is not [`offered`] to the user (administrators may make one all the same).
pub async fn add(
    app: &App,
    by: By<'_>,
    user: (UserId, &str),
    slugs: &[String],
    request: TokenRequest,
) -> Result<(String, PlainSecret), ActionError> {
    let (user, username) = user;
    by.must_own_or_administer(user)?;
    let applications = app.store.applications().await?;
    let is_free = by.must_administer().is_ok();
    let offered = if is_free { Vec::new() } else { offered(app, by, user).await? };
    let mut ids = Vec::with_capacity(slugs.len());
    for slug in slugs {
        let found = applications.by_slug(slug).ok_or_else(|| ApplicationRule::NoApplication(slug.clone()))?;
        if !is_free && offered.iter().all(|application| application.id != found.id) {
            return Err(ApplicationRule::NoAppPasswords(slug.clone()).into());
        }
        ids.push(found.id);
    }
    if ids.is_empty() {
        return Err(ApplicationRule::NoneNamed.into());
    }
    let request = TokenRequest { intent: TokenIntent::AppPassword, applications: ids, ..request };
    tokens::add(app, by, user, username, request).await
}

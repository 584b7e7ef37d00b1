//! App passwords: what a program presents for an application.

use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::app::App;
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

/// Makes an app password for a user and these applications, by slug, and gives its identifier and its key, which is shown
/// this once.
///
/// # Errors
/// Those of [`tokens::add`]; [`ActionError::Application`] for an application that there is not, or that the user may not
/// open (administrators may make one all the same).
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
    let mut ids = Vec::with_capacity(slugs.len());
    for slug in slugs {
        ids.push(applications.by_slug(slug).ok_or_else(|| ApplicationRule::NoApplication(slug.clone()))?.id);
    }
    let request = TokenRequest { intent: TokenIntent::AppPassword, applications: ids, ..request };
    tokens::add(app, by, user, username, request).await
}

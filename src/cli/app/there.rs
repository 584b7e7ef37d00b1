//! The application that a command names.

use std::sync::Arc;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::cli::Failure;
use crate::domain::application::Application;

/// The application of that slug, or a message that says there is none.
///
/// # Errors
/// When there is none.
pub(super) async fn find(app: &App, slug: &str) -> Result<Arc<Application>, Failure> {
    let all = app.store.applications().await?;
    all.by_slug(slug).cloned().ok_or_else(|| not_there(slug))
}

/// The message that there is no such application.
fn not_there(slug: &str) -> Failure {
    format!("there is no application {slug}").into()
}

/// An edit's result, with a message for an application that is gone.
pub(super) fn edited<T>(done: Result<T, ActionError>, slug: &str) -> Result<T, Failure> {
    match done {
        Err(ActionError::NotFound) => Err(not_there(slug)),
        other => Ok(other?),
    }
}

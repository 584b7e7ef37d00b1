//! Reads single sessions of the copy.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::look::{Watched, find_copied};
use crate::domain::SessionId;
use crate::domain::source::NAME;
use crate::store::watch::asked::AskedEnd;
use crate::store::watch::sessions::WatchedRow;
use crate::store::watch::sources::SourceRow;

/// A session of the copy, with its source.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or the caller does not see everybody's sessions.
pub async fn find(app: &App, by: By<'_>, uuid: SessionId) -> Result<(SourceRow, WatchedRow), ActionError> {
    must_see(by)?;
    let Watched { row, source } = find_copied(app, uuid).await?.ok_or(ActionError::NotFound)?;
    Ok((source, row))
}

/// The end of a session of the source that was asked for last, within a day.
///
/// # Errors
/// As [`find`].
pub async fn find_asked(app: &App, by: By<'_>, uuid: SessionId) -> Result<(SourceRow, AskedEnd), ActionError> {
    must_see(by)?;
    let source = app.store.read().find_source(NAME).await?.ok_or(ActionError::NotFound)?;
    let asked = app.store.read().find_asked_end(source.id, uuid).await?.ok_or(ActionError::NotFound)?;
    Ok((source, asked))
}

/// Lets those pass who see everybody's sessions: no user of Rollcall has one at the source.
pub(super) fn must_see(by: By<'_>) -> Result<(), ActionError> {
    match by {
        By::Principal(who, _) => who.must_see_all().map_err(|_| ActionError::NotFound),
        By::Cli | By::System => Ok(()),
    }
}

//! What is known of the watched authentik as a whole.

use std::time::Duration;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::domain::source::NAME;
use crate::store::StoreError;
use crate::store::watch::sources::SourceRow;

/// The state of the copy.
#[derive(Clone, Debug)]
pub struct CopyStatus {
    /// The source, its state and its times. Its address is where it was copied from.
    pub source: SourceRow,
    /// The address of the settings; where they have none, that of the source.
    pub url: String,
    /// How many of its sessions are copied.
    pub copied: i64,
    /// How long ago the copy last agreed with the source; `None`: it never did.
    pub age: Option<Duration>,
    /// Whether that is longer ago than three polls.
    pub is_late: bool,
    /// How many ends were asked for whose outcome is not known so far.
    pub unknown_ends: i64,
}

/// The state of the copy; `None`: no authentik was ever watched here.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers who may not read everything; when the database does not answer.
pub async fn status(app: &App, by: By<'_>) -> Result<Option<CopyStatus>, ActionError> {
    by.must_inspect()?;
    Ok(read(app).await?)
}

/// The same, for lists of the copy, whose callers may see all sessions.
///
/// # Errors
/// When the database does not answer.
pub async fn read(app: &App) -> Result<Option<CopyStatus>, StoreError> {
    let Some(source) = app.store.read().find_source(NAME).await? else { return Ok(None) };
    let copied = app.store.read().count_watched(source.id).await?;
    let age = (source.status.seen_at.0 > 0).then(|| app.clock.now().since(source.status.seen_at));
    let is_late = app.watched.as_ref().is_none_or(|client| age.is_none_or(|age| age > client.source().every * 3));
    let unknown_ends = app.store.read().count_unknown_ends(source.id).await?;
    let url = app.watched.as_ref().map_or(source.url.as_str(), |client| client.source().url.origin()).to_owned();
    Ok(Some(CopyStatus { source, url, copied, age, is_late, unknown_ends }))
}

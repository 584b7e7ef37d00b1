//! Reads single sessions, and renames them.

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::domain::SessionId;
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::session::check_label;
use crate::domain::source::NAME;
use crate::store::StoreError;
use crate::store::sessions::details::SessionDetailRow;
use crate::store::sessions::rows::SessionRow;
use crate::store::watch::sessions::WatchedRow;
use crate::store::watch::sources::SourceRow;

/// A session the caller may see.
///
/// # Errors
/// [`ActionError::NotFound`] when there is none, or the caller may not know of it.
pub async fn find(app: &App, who: &Principal, id: SessionId) -> Result<SessionRow, ActionError> {
    let session = app.store.read().find_session(id).await?;
    session.filter(|session| who.may_see(session.user_id)).ok_or(ActionError::NotFound)
}

/// A session with all its details and its user's name; `None` when there is none, or the caller may
/// not know of it.
///
/// # Errors
/// When the database does not answer.
pub async fn find_details(app: &App, who: &Principal, id: SessionId) -> Result<Option<(SessionDetailRow, String)>, StoreError> {
    let db = app.store.read();
    let details = db.list_session_details(&[id]).await?;
    let Some(detail) = details.into_iter().next().filter(|it| who.may_see(it.row.user_id)) else { return Ok(None) };
    let names = db.list_usernames(&[detail.row.user_id.0]).await?;
    Ok(Some((detail, names.into_iter().next().map(|(_, name)| name).unwrap_or_default())))
}

/// A session of the copy of the watched authentik, and the state of that copy.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What the copy has of it.
    pub row: WatchedRow,
    /// The source, and when the copy last agreed with it.
    pub source: SourceRow,
}

impl Watched {
    /// The session as lists show it.
    #[must_use]
    pub fn listed(&self) -> SessionRow {
        self.row.listed(self.source.id)
    }
}

/// A session of the copy; `None` when there is none, or the caller sees only their own sessions.
///
/// # Errors
/// When the database does not answer.
pub async fn find_watched(app: &App, who: &Principal, id: SessionId) -> Result<Option<Watched>, StoreError> {
    if who.visible().is_some() {
        return Ok(None);
    }
    find_copied(app, id).await
}

/// A session of the copy, for the command line, which sees everything.
///
/// # Errors
/// When the database does not answer.
pub async fn find_copied(app: &App, id: SessionId) -> Result<Option<Watched>, StoreError> {
    let db = app.store.read();
    let Some(source) = db.find_source(NAME).await? else { return Ok(None) };
    let row = db.list_watched(source.id, &[id]).await?.into_iter().next();
    Ok(row.map(|row| Watched { row, source }))
}

/// A session that the caller may see: of Rollcall, or of the copy.
///
/// # Errors
/// [`ActionError::NotFound`] as for [`find`].
pub async fn find_anywhere(app: &App, who: &Principal, id: SessionId) -> Result<SessionRow, ActionError> {
    match find(app, who, id).await {
        Err(ActionError::NotFound) => {
            find_watched(app, who, id).await?.map(|watched| watched.listed()).ok_or(ActionError::NotFound)
        }
        found => found,
    }
}

/// Renames a session. Only its owner may.
///
/// # Errors
/// [`ActionError::Label`], [`ActionError::NotFound`], and [`ActionError::Forbidden`] when it is
/// somebody else's.
pub async fn rename(app: &App, who: &Principal, id: SessionId, label: &str, actor: &Actor) -> Result<(), ActionError> {
    let label = check_label(label)?;
    let session = find(app, who, id).await?;
    if session.user_id != who.user_id {
        return Err(ActionError::Forbidden);
    }
    let content = EventContent::SessionNamed { name: label.clone() };
    let event = content.by(actor, app.clock.now()).about(who.user_id, &who.username).of_session(id);
    app.store
        .write(move |db| {
            Box::pin(async move {
                if !db.update_label(id, &label).await? {
                    return Err(ActionError::NotFound);
                }
                Ok(db.insert_events(&[event]).await?)
            })
        })
        .await
}

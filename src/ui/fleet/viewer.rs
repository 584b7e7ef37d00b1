//! The viewer of a streamed answer, such as a live view or a download. The rights of a request are
//! checked at its start; here they are checked again for each part of the answer.

use axum::http::request::Parts;

use crate::actions::app::App;
use crate::actions::sessions::check::{Admission, check_without_use};
use crate::auth;
use crate::domain::caller::Client;
use crate::domain::{HashedSecret, PlainSecret};
use crate::store::StoreError;
use crate::store::sessions::rows::LiveSession;
use crate::ui::visitor::Visitor;

/// The cookies and the address of a viewer.
#[derive(Clone, Debug)]
pub(in crate::ui) struct Viewer {
    keys: Vec<HashedSecret>,
    client: Client,
    request_id: String,
}

impl Viewer {
    /// The viewer of a request.
    pub(in crate::ui) fn of(app: &App, visitor: &Visitor, parts: &Parts) -> Self {
        let keys = auth::session_keys(app, &parts.headers).iter().map(PlainSecret::hash).collect();
        Self { keys, client: visitor.client.as_client(&parts.headers), request_id: visitor.client.request_id.clone() }
    }

    /// The session, if it may still see the sessions of all users; `None` once it ended, must prove
    /// a second factor, is used from another network or place, or lost the right.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::ui) async fn session(&self, app: &App) -> Result<Option<LiveSession>, StoreError> {
        for key in &self.keys {
            match check_without_use(app, *key, &self.client, &self.request_id).await? {
                Admission::None => {}
                Admission::Open(session) => return Ok(Some(session).filter(|session| session.rights.may_view_sessions)),
                Admission::FactorMissing(_) | Admission::Unproved(_) | Admission::Moved => return Ok(None),
            }
        }
        Ok(None)
    }
}

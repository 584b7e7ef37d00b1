//! The check of a session key. Every request that acts for a user by a cookie makes it.

use crate::actions::app::App;
use crate::actions::sessions::binding;
use crate::actions::sign_in::factors;
use crate::domain::binding::MoveAction;
use crate::domain::caller::Client;
use crate::domain::{HashedSecret, PlainSecret};
use crate::store::StoreError;
use crate::store::sessions::rows::LiveSession;

/// The result of a check.
#[derive(Debug)]
pub enum Admission {
    /// Nothing.
    None,
    /// A session.
    Open(LiveSession),
    /// A session without the second factor that its user must have: only the pages that add one
    /// accept it.
    FactorMissing(LiveSession),
    /// A session that is used from another network or place than the one it is bound to: only a
    /// re-authentication is accepted.
    Unproved(LiveSession),
    /// None any more: the session ended, since it was used from elsewhere.
    Moved,
}

/// Checks a session key, and notes the use. Every request with a cookie makes this check; nothing
/// is cached, so an ended session is refused from the next request on.
///
/// # Errors
/// When the database does not answer: the request is then refused.
pub async fn check(app: &App, key: &PlainSecret, client: &Client, request_id: &str) -> Result<Admission, StoreError> {
    let admission = check_without_use(app, key.hash(), client, request_id).await?;
    if let Admission::Open(session) | Admission::FactorMissing(session) = &admission {
        app.touches.note(app, session, client.ip, &client.user_agent);
    }
    Ok(admission)
}

/// The same for a streamed answer, such as a live view. It is no use of the session: an open page
/// must not keep an unused session alive.
///
/// # Errors
/// When the database does not answer: then the answer ends.
pub async fn check_without_use(app: &App, key: HashedSecret, client: &Client, request_id: &str) -> Result<Admission, StoreError> {
    match app.store.read().find_live_session(key, app.clock.now()).await? {
        Some(session) => admit(app, session, key, client, request_id).await,
        None => Ok(Admission::None),
    }
}

/// What a live session opens for this client, by its binding and the second factor that its user must have. `key` is the
/// hash of the session's own key.
///
/// # Errors
/// When the database does not answer: the request is then refused.
pub(in crate::actions) async fn admit(
    app: &App,
    session: LiveSession,
    key: HashedSecret,
    client: &Client,
    request_id: &str,
) -> Result<Admission, StoreError> {
    if session.proved_ip != Some(client.ip) {
        match Box::pin(binding::judge(app, &session, client, request_id)).await? {
            Some(moved) if moved.action == MoveAction::End => {
                Box::pin(binding::end(app, key, moved, client, request_id)).await?;
                return Ok(Admission::Moved);
            }
            Some(moved) if moved.action == MoveAction::Confirm => return Ok(Admission::Unproved(session)),
            _ => {}
        }
    }
    if factors::is_missing(app, &session) { Ok(Admission::FactorMissing(session)) } else { Ok(Admission::Open(session)) }
}

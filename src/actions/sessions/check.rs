//! The check of a session key. Every door to an account passes here.

use crate::actions::app::App;
use crate::actions::sessions::binding;
use crate::actions::sign_in::factors;
use crate::domain::binding::MoveAction;
use crate::domain::caller::Client;
use crate::domain::{HashedSecret, PlainSecret};
use crate::store::StoreError;
use crate::store::sessions::rows::LiveSession;

/// What a session key opens.
#[derive(Debug)]
pub enum Admission {
    /// Nothing.
    None,
    /// A session.
    Open(LiveSession),
    /// A session that lacks the second factor that it must have: only what adds one is let through.
    FactorMissing(LiveSession),
    /// A session that is used from elsewhere than its user proved who they are: nothing but another
    /// proof is let through.
    Unproved(LiveSession),
    /// Nothing any more: the session ended, since it is used from elsewhere.
    Moved,
}

/// Lets the holder of a session key in, or not, and notes the use. Every request with a cookie
/// passes here; nothing is cached, so an ended session is out from the next request.
///
/// # Errors
/// When the database does not answer: then nobody is let in.
pub async fn check(app: &App, key: &PlainSecret, client: &Client, request_id: &str) -> Result<Admission, StoreError> {
    let admission = check_again(app, key.hash(), client, request_id).await?;
    if let Admission::Open(session) | Admission::FactorMissing(session) = &admission {
        app.touches.note(app, session, client.ip, &client.user_agent);
    }
    Ok(admission)
}

/// The same for an answer that goes on, as a live view does. It is no use of the session: a page that
/// lies open does not keep its session from ending when nobody uses it.
///
/// # Errors
/// When the database does not answer: then the answer ends.
pub async fn check_again(app: &App, key: HashedSecret, client: &Client, request_id: &str) -> Result<Admission, StoreError> {
    let Some(session) = app.store.read().find_live_session(key, app.clock.now()).await? else { return Ok(Admission::None) };
    if session.proved_ip != Some(client.ip) && app.config.sessions.bindings().is_any() {
        match binding::judge(app, &session, client, request_id).await? {
            Some(moved) if moved.action == MoveAction::End => {
                binding::end(app, key, moved, client, request_id).await?;
                return Ok(Admission::Moved);
            }
            Some(moved) if moved.action == MoveAction::Confirm => return Ok(Admission::Unproved(session)),
            _ => {}
        }
    }
    if factors::is_missing(app, &session) { Ok(Admission::FactorMissing(session)) } else { Ok(Admission::Open(session)) }
}

//! A call of an app's server, or of its scripts: who calls, and which origins may read the answer.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::actions::app::App;
use crate::actions::oidc::clients::{Authenticated, Known, authenticate};
use crate::domain::caller::Actor;
use crate::http::client::ClientInfo;
use crate::oidc::answer::Wrong;
use crate::oidc::form::Form;

/// A call of a client that showed to be the one.
pub(super) struct Call {
    /// The client.
    pub known: Known,
    /// What it sent.
    pub form: Form,
    /// From where.
    pub actor: Actor,
}

impl Call {
    /// Reads a call.
    ///
    /// # Errors
    /// [`Wrong`].
    pub(super) async fn read(app: &App, parts: &Parts, body: Body) -> Result<Self, Wrong> {
        if app.config.issuer_url().is_none() {
            return Err(Wrong::NotThere);
        }
        let form = Form::read(parts, body).await?;
        let (shown, is_basic) = form.shown(&parts.headers)?;
        let actor = parts.extensions.get::<ClientInfo>().map(ClientInfo::as_anonymous).unwrap_or_default();
        match authenticate(app, &shown, &actor).await? {
            Authenticated::Known(known) => Ok(Self { known, form, actor }),
            Authenticated::Wrong => Err(Wrong::Client { is_basic }),
            Authenticated::Limited(wait) => Err(Wrong::Often(wait.as_secs().max(1))),
        }
    }
}

/// The answer with the headers by which a script of the client may read it (CORS). Without a client: if any client has
/// the origin. Never with credentials.
pub(super) async fn cors(app: &App, asked: &HeaderMap, known: Option<&Known>, mut response: Response) -> Response {
    let Some(origin) = asked.get(header::ORIGIN).cloned() else { return response };
    let Ok(text) = origin.to_str() else { return response };
    let is_known = match known {
        Some(known) => known.settings().is_ok_and(|client| client.has_origin(text)),
        None => app.store.applications().await.is_ok_and(|all| all.clients().any(|client| client.has_origin(text))),
    };
    if is_known {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// A preflight: it names no client.
pub(super) async fn preflight(app: &App, asked: &HeaderMap) -> Response {
    let mut response = cors(app, asked, None, StatusCode::NO_CONTENT.into_response()).await;
    let headers = response.headers_mut();
    if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

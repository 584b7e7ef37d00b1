//! Apps that sign in through a popup: the pages on the way to them leave the window that opened the popup in reach
//! (`Cross-Origin-Opener-Policy: unsafe-none`), for clients that are set so and for nobody else.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;

use crate::actions::app::App;
use crate::http::MAX_BODY;
use crate::http::query::Query;

const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const KEPT: HeaderValue = HeaderValue::from_static("unsafe-none");
const AUTHORIZE: &str = "/application/o/authorize/";

/// Whether an address is one of those that lie between an app and its answer.
fn is_on_the_way(path: &str) -> bool {
    matches!(path, "/sign-in" | "/sign-in/factor" | "/sign-in/passkey" | "/sign-in/choose" | "/confirm" | "/confirm/passkey")
        || matches!(path, "/consent" | AUTHORIZE)
}

/// The client that a query or a form is on its way to: it is named, or in the address to go on to.
fn client(query: &Query) -> Option<String> {
    let named = query.last("client_id").map(str::to_owned);
    named.or_else(|| {
        let (path, next) = query.last("next")?.split_once('?')?;
        (path == AUTHORIZE).then(|| Query::parse(next).last("client_id").map(str::to_owned)).flatten()
    })
}

/// Looks whether a request is on the way to a client whose opener stays in reach. The request comes back as it was.
///
/// # Errors
/// 413 for a form that is too long.
pub async fn look(app: &App, request: Request) -> Result<(Request, bool), StatusCode> {
    if !is_on_the_way(request.uri().path()) {
        return Ok((request, false));
    }
    let (parts, body) = request.into_parts();
    let mut wanted = client(&Query::parse(parts.uri.query().unwrap_or_default()));
    let body = if parts.method == Method::POST && wanted.is_none() {
        let bytes = to_bytes(body, MAX_BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        wanted = std::str::from_utf8(&bytes).ok().and_then(|form| client(&Query::parse(form)));
        Body::from(bytes)
    } else {
        body
    };
    let is_kept = match wanted {
        // Without an answer of the database the header stays strict, and the handler says what is wrong.
        Some(id) => app.store.applications().await.is_ok_and(|all| {
            all.by_client(&id).and_then(|application| application.client.as_ref()).is_some_and(|part| part.client.popup)
        }),
        None => false,
    };
    Ok((Request::from_parts(parts, body), is_kept))
}

/// Leaves the opener in reach of an answer.
pub fn keep(response: &mut Response) {
    response.headers_mut().insert(OPENER, KEPT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_one_that_the_browser_goes_on_to() {
        let of = |text: &str| client(&Query::parse(text));
        assert_eq!(of("client_id=a&scope=x").as_deref(), Some("a"));
        let next = "next=%2Fapplication%2Fo%2Fauthorize%2F%3Fclient_id%3Db%26scope%3Dx&password=p";
        assert_eq!(of(next).as_deref(), Some("b"));
        for none in
            ["", "next=%2Fsessions", "next=%2Fsessions%3Fclient_id%3Db", "next=https%3A%2F%2Fevil.example%2F%3Fclient_id%3Db"]
        {
            assert_eq!(of(none), None, "{none}");
        }
    }
}

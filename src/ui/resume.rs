//! Carries a form through `/confirm`: if a form needs a re-authentication, the answer is the page
//! that asks for it, and the form is done afterwards.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::Service;

use crate::actions::app::App;
use crate::http::caught;
use crate::http::client::ClientInfo;
use crate::ui::error::PageError;
use crate::ui::sealed::{Opened, Pending};
use crate::ui::sign_in::confirm;

/// Goes on with a form for a page that was answered. `routes` are all routes: the form is sent to one of them after the
/// re-authentication.
pub async fn carry(app: &App, mut routes: Router, asked: &Parts, mut response: Response) -> Response {
    if asked.method != Method::POST {
        return response;
    }
    if let Some(form) = response.extensions_mut().remove::<Opened>() {
        // The re-authentication gave the session a new key, with which the form is sent.
        let Some(request) = form_again(asked, response.headers(), form) else {
            return PageError::Internal.into_response();
        };
        let call = routes.call(request).map(|done| done.unwrap_or_else(|never| match never {}));
        let mut done = caught(call, || PageError::Internal.into_response()).await;
        hand_on_cookies(response.headers(), done.headers_mut());
        return done;
    }
    match response.extensions_mut().remove::<Pending>() {
        Some(pending) => confirm::interrupted(app, asked, &pending).await.unwrap_or_else(IntoResponse::into_response),
        None => response,
    }
}

/// The form's request, as the browser would send it now: with the cookies of the answer to the
/// re-authentication.
fn form_again(asked: &Parts, answer: &HeaderMap, form: Opened) -> Option<Request> {
    let mut parts = asked.clone();
    parts.uri = form.path.parse::<Uri>().ok()?;
    // The other extensions belong to the address of `/confirm`.
    parts.extensions = Extensions::new();
    if let Some(client) = asked.extensions.get::<ClientInfo>() {
        parts.extensions.insert(client.clone());
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let new: Vec<(&[u8], &[u8])> = answer.get_all(header::SET_COOKIE).iter().filter_map(name_and_value).collect();
    let old = asked.headers.get_all(header::COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    let kept = old.map(<[u8]>::trim_ascii).filter(|pair| !new.iter().any(|(name, _)| pair_name(pair) == *name));
    let mut all: Vec<Vec<u8>> = kept.map(<[u8]>::to_vec).collect();
    all.extend(new.iter().map(|(name, value)| [name, b"=".as_slice(), value].concat()));
    parts.headers.insert(header::COOKIE, HeaderValue::from_bytes(&all.join(b"; ".as_slice())).ok()?);
    Some(Request::from_parts(parts, Body::from(form.body)))
}

fn pair_name(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}

/// The name and the value that a `Set-Cookie` header sets.
fn name_and_value(header: &HeaderValue) -> Option<(&[u8], &[u8])> {
    let pair = header.as_bytes().split(|byte| *byte == b';').next()?;
    let sign = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair.get(..sign)?.trim_ascii(), pair.get(sign + 1..)?.trim_ascii()))
}

/// Adds the cookies of one answer to another, except those that it sets itself.
fn hand_on_cookies(from: &HeaderMap, to: &mut HeaderMap) {
    let set: Vec<Vec<u8>> =
        to.get_all(header::SET_COOKIE).iter().filter_map(name_and_value).map(|(name, _)| name.to_vec()).collect();
    for cookie in from.get_all(header::SET_COOKIE) {
        if name_and_value(cookie).is_some_and(|(name, _)| !set.iter().any(|known| known == name)) {
            to.append(header::SET_COOKIE, cookie.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(name: &header::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_form_is_done_with_the_cookies_of_its_proof() {
        let (mut parts, ()) = axum::http::Request::post("/confirm").body(()).unwrap().into_parts();
        parts.headers = cookies(&header::COOKIE, &["session=old; a=1", "b=2;session=older"]);
        let answer = cookies(&header::SET_COOKIE, &["session=new; Path=/; HttpOnly", "c=; Max-Age=0"]);
        let form = Opened { path: "/users?x=1".into(), body: b"username=bob".to_vec() };
        let again = form_again(&parts, &answer, form).unwrap();
        assert_eq!(again.headers()[header::COOKIE], "a=1; b=2; session=new; c=");
        assert_eq!((again.method(), again.uri().to_string().as_str()), (&Method::POST, "/users?x=1"));
    }

    #[test]
    fn of_two_cookies_of_one_name_the_later_answer_sets_its_own() {
        let first = cookies(&header::SET_COOKIE, &["session=one; Path=/", "other=1"]);
        let mut second = cookies(&header::SET_COOKIE, &["session=two; Path=/"]);
        hand_on_cookies(&first, &mut second);
        let all: Vec<_> = second.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(all, ["session=two; Path=/", "other=1"]);
    }
}

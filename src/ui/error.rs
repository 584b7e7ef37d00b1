//! Errors as pages: what happened, and what to do.

use std::time::Duration;

use askama::Template;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::domain::query::Mistakes;
use crate::http::client::ClientInfo;
use crate::store::StoreError;
use crate::ui::refusal::Refusal;
use crate::ui::sealed::Pending;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

/// All answers of pages except success.
#[derive(Debug)]
pub enum PageError {
    /// 404.
    NotFound,
    /// 400: a part of the search was not understood, so nothing was done with what it matches.
    Mistaken(Mistakes),
    /// 403: the form was not ours, or too old.
    Forged(Refusal),
    /// 403.
    Forbidden,
    /// 403: the session limit is reached.
    AtLimit,
    /// Nobody is signed in: redirects to the sign-in page, and then back to this path.
    SignedOut(String),
    /// The session ended, since it was used from another network or place: redirects likewise, and
    /// says so.
    Moved(String),
    /// The session needs a re-authentication: redirects to the page for it, and then back to this
    /// path.
    Unconfirmed(String),
    /// 403: a form needs a re-authentication, and is done after it. Shown as the page that asks for
    /// it.
    Interrupted(Box<Pending>),
    /// 409: the re-authentication came too late for the form that waited for it. Nothing was done.
    FormExpired,
    /// A form was sent after the session had ended: redirects to the sign-in page, which says that
    /// nothing was done.
    SignedOutForm(String),
    /// The session lacks the second factor that its user must have: redirects to the page that adds
    /// one.
    FactorMissing,
    /// 405.
    MethodNotAllowed,
    /// 409: another request came first, in words.
    Conflict(String),
    /// 409: no administrator who can sign in would be left.
    LastAdministrator,
    /// 413.
    TooLarge,
    /// 429.
    TooMany,
    /// 429: too many wrong passwords or codes; none is checked for this time.
    Limited(Duration),
    /// 503: try again later.
    Unavailable,
    /// 500: a fault of the server.
    Internal,
}

/// Why nothing was done to the last administrator, and the way out.
pub(in crate::ui) const LAST_ADMINISTRATOR: &str = "Nothing was changed: no administrator who can sign in would be left. \
    Make another user with a password or a passkey an administrator first.";

/// The content of an error page, attached to the answer until the visitor is known.
#[derive(Clone)]
struct Failure {
    status: StatusCode,
    title: &'static str,
    text: String,
    /// When to try again, in seconds.
    retry_after: Option<u64>,
}

#[derive(Template)]
#[template(path = "pages/error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    status: u16,
    title: &'a str,
    text: &'a str,
    /// The request id, which is in the log, for faults of the server.
    request_id: &'a str,
    /// Whether to offer the same address again: a form's address has no page, or would send the
    /// form twice.
    may_retry: bool,
}

/// What a path may hold unencoded inside a query.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl PageError {
    fn failure(&self) -> Failure {
        let (status, title, text) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "There is nothing here", "The address is wrong, or what it named is gone."),
            Self::Forged(refusal) => (StatusCode::FORBIDDEN, "This form could not be accepted", refusal.text_without_form()),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "You may not do this",
                "Your account does not have the permission it needs. An administrator can give it.",
            ),
            Self::AtLimit => (
                StatusCode::FORBIDDEN,
                "Session limit reached",
                "Sign out somewhere else, then sign in here. An administrator can also end your sessions.",
            ),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here", "The address is right, but not what was asked of it.")
            }
            Self::Mistaken(mistakes) => {
                let text = format!("{mistakes} Nothing was done. Go back and correct the search.");
                return Failure { status: StatusCode::BAD_REQUEST, title: "The search has a mistake", text, retry_after: None };
            }
            Self::Conflict(text) => {
                return Failure { status: StatusCode::CONFLICT, title: "It has changed", text: text.clone(), retry_after: None };
            }
            Self::Limited(wait) => {
                let text = format!(
                    "There were too many wrong passwords or codes. This one was not checked. \
                     Try again {}, or from a browser that you signed in with before.",
                    in_a_while(*wait)
                );
                let retry_after = Some(whole_seconds(*wait));
                return Failure { status: StatusCode::TOO_MANY_REQUESTS, title: "Wait a little", text, retry_after };
            }
            Self::LastAdministrator => (StatusCode::CONFLICT, "An administrator must be left", LAST_ADMINISTRATOR),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "That is too much", "The form is larger than the server accepts."),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "Too often",
                "This was asked for too many times in a short while. Wait a minute, then try again.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not now",
                "The server cannot do this at the moment. Nothing was changed. Try again in a few seconds.",
            ),
            Self::FormExpired => (
                StatusCode::CONFLICT,
                "Nothing was done",
                "The form waited too long for your password, so it was not done. Go back to its page, and send it again.",
            ),
            // Redirects, or pages of their own: never shown as an error page.
            Self::Interrupted(_) | Self::Unconfirmed(_) => (StatusCode::FORBIDDEN, "Confirm first", ""),
            Self::FactorMissing => (StatusCode::FORBIDDEN, "Add a second factor first", ""),
            Self::SignedOut(_) | Self::SignedOutForm(_) | Self::Moved(_) => (StatusCode::FORBIDDEN, "Sign in first", ""),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", "The cause is in the server's log."),
        };
        let retry_after = match status {
            StatusCode::SERVICE_UNAVAILABLE => Some(1),
            StatusCode::TOO_MANY_REQUESTS => Some(60),
            _ => None,
        };
        Failure { status, title, text: text.to_owned(), retry_after }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match &self {
            Self::FactorMissing => return Redirect::to("/security").into_response(),
            Self::SignedOut(back) => {
                return Redirect::to(&format!("/sign-in?next={}", utf8_percent_encode(back, PATH))).into_response();
            }
            Self::SignedOutForm(back) => {
                let address = format!("/sign-in?next={}&ended=form", utf8_percent_encode(back, PATH));
                return Redirect::to(&address).into_response();
            }
            Self::Interrupted(pending) => {
                let mut response = StatusCode::FORBIDDEN.into_response();
                response.extensions_mut().insert(Pending::clone(pending));
                return response;
            }
            Self::Moved(back) => {
                let address = format!("/sign-in?next={}&ended=moved", utf8_percent_encode(back, PATH));
                return Redirect::to(&address).into_response();
            }
            Self::Unconfirmed(back) => {
                return Redirect::to(&format!("/confirm?next={}", utf8_percent_encode(back, PATH))).into_response();
            }
            _ => {}
        }
        let failure = self.failure();
        let mut response = failure.page(Frame::bare(), "", false);
        response.extensions_mut().insert(failure);
        response
    }
}

/// Whole seconds, and at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// `in 40 seconds`, `in 2 minutes`.
fn in_a_while(wait: Duration) -> String {
    match whole_seconds(wait) {
        1 => "in a second".to_owned(),
        seconds @ 2..=90 => format!("in {seconds} seconds"),
        seconds => format!("in {} minutes", seconds.div_ceil(60)),
    }
}

impl Failure {
    fn page(&self, frame: Frame, request_id: &str, is_read: bool) -> Response {
        let (title, text) = (self.title, self.text.as_str());
        let request_id = if self.status.is_server_error() { request_id } else { "" };
        let status = self.status.as_u16();
        let may_retry = is_read && matches!(status, 409 | 429 | 503);
        let shown = ErrorPage { frame, status, title, text, request_id, may_retry };
        let mut response = page(self.status, &shown);
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

/// A form that is shown again because another request came first: what it asked for is taken, or changed.
pub(in crate::ui) fn conflict(shown_again: PageResult) -> PageResult {
    shown_again.map(|mut response| {
        *response.status_mut() = StatusCode::CONFLICT;
        response
    })
}

/// The head of a request for a page, which is kept until it is answered: see [`dress`]. `None` for all other addresses.
pub fn page_asked(request: Request) -> (Request, Option<Parts>) {
    let path = request.uri().path();
    // The guard has pages of its own.
    let is_guards = path.starts_with("/guard/") || path.starts_with("/.rollcall/") || path.starts_with("/outpost.goauthentik.io/");
    if is_guards || path.starts_with("/api/") || path.starts_with("/-/") || path.starts_with("/static/") {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    (Request::from_parts(parts.clone(), body), Some(parts))
}

/// Shows errors in the frame of the visitor's pages, with the navigation, and turns other failures
/// on the way to a page into a page.
pub async fn dress(app: &App, parts: Parts, response: Response) -> Response {
    let failure = match response.extensions().get::<Failure>() {
        Some(failure) => failure.clone(),
        None if response.status() == StatusCode::INTERNAL_SERVER_ERROR => PageError::Internal.failure(),
        None => return response,
    };
    let request_id = parts.extensions.get::<ClientInfo>().map(|client| client.request_id.clone()).unwrap_or_default();
    // After a fault of the server, the database may be what failed: it is not asked again.
    let is_ours = failure.status.is_server_error();
    if is_ours {
        // The number that the page gives finds this line; the cause was logged just before.
        tracing::warn!(request.id = request_id, status = failure.status.as_u16(), "an error page was shown");
    }
    let visitor = if is_ours { None } else { Visitor::of(app, &parts).await.ok() };
    let frame = visitor.map_or_else(Frame::bare, |visitor| visitor.frame(app, Section::Elsewhere));
    let mut dressed = failure.page(frame, &request_id, matches!(parts.method, Method::GET | Method::HEAD));
    let own: Vec<_> = dressed.headers().keys().cloned().collect();
    for (name, value) in response.headers().iter().filter(|(name, _)| !own.contains(name)) {
        // Among them cookies, of which an answer may set several.
        dressed.headers_mut().append(name, value.clone());
    }
    dressed.headers_mut().remove(header::CONTENT_LENGTH);
    dressed
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() {
            tracing::warn!(%error, "a page was refused");
            Self::Unavailable
        } else if let StoreError::Conflict(_) = error {
            tracing::info!(%error, "two asked for the same at once");
            Self::Conflict("Somebody else did the same at the same time. Go back, reload the page, and look.".into())
        } else {
            tracing::error!(%error, "a page failed");
            Self::Internal
        }
    }
}

impl From<Mistakes> for PageError {
    fn from(mistakes: Mistakes) -> Self {
        Self::Mistaken(mistakes)
    }
}

impl From<ActionError> for PageError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NotFound => Self::NotFound,
            ActionError::Forbidden | ActionError::FactorNeeded | ActionError::Passkey(_) => Self::Forbidden,
            ActionError::ProofOutdated => {
                Self::Conflict("Your password or your second factors changed. Go back, reload the page, and try again.".into())
            }
            ActionError::AtLimit | ActionError::ChooseEnd => Self::AtLimit,
            ActionError::Busy => Self::Unavailable,
            ActionError::AtSource(refusal) => Self::Conflict(format!("Sorry: {refusal}. Nothing was ended.")),
            ActionError::Elsewhere => {
                let sentence =
                    "Sessions of Rollcall and of authentik are not ended by one search: choose one of the two.".to_owned();
                Self::Mistaken(Mistakes { sentences: vec![sentence], understood: String::new() })
            }
            ActionError::Exists(what) => Self::Conflict(format!("There is {what} already. Go back and take another name.")),
            ActionError::LastAdministrator => Self::LastAdministrator,
            ActionError::Outdated => Self::Conflict(
                "Somebody else changed it since the page was loaded. Go back, reload the page, and try again.".into(),
            ),
            ActionError::NoUser(_) | ActionError::NoGroup(_) => {
                Self::Conflict("A user or a group that was named is gone. Go back, reload the page, and try again.".into())
            }
            ActionError::Limited(wait) | ActionError::EndsRefused(wait) => Self::Limited(wait),
            ActionError::Store(error) => error.into(),
            other => {
                tracing::error!(error = %other, "a page failed");
                Self::Internal
            }
        }
    }
}

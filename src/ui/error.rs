//! Errors as pages: what happened, and a way on.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::{Frame, page};
use crate::actions::ActionError;
use crate::store::StoreError;

/// Everything a page answers but success.
#[derive(Debug)]
pub enum PageError {
    /// 404.
    NotFound,
    /// 403: the form was not ours, or too old.
    Forged(String),
    /// 403.
    Forbidden,
    /// Nobody is signed in: to the sign-in page, and back to this path.
    SignedOut(&'static str),
    /// 405.
    MethodNotAllowed,
    /// 413.
    TooLarge,
    /// 503: try again later.
    Unavailable,
    /// 500: our mistake.
    Internal,
}

#[derive(Template)]
#[template(path = "pages/error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    title: &'a str,
    text: &'a str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "There is nothing here", "The address is wrong, or what it named is gone."),
            Self::Forged(why) => {
                tracing::info!(why, "a form was refused");
                (
                    StatusCode::FORBIDDEN,
                    "This form could not be accepted",
                    "It is too old, or it did not come from this site. Go back, reload the page, and send it again.",
                )
            }
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "You may not do this", "Your account does not have the permission it needs.")
            }
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here", "The address is right, but not what was asked of it.")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "That is too much", "The form holds more than the server takes."),
            Self::SignedOut(back) => return Redirect::to(&format!("/sign-in?next={back}")).into_response(),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not now",
                "The server cannot do this at the moment. Nothing was changed. Try again in a few seconds.",
            ),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", "It is our mistake, and it is in the server's log.")
            }
        };
        let mut response = page(status, &ErrorPage { frame: Frame::bare(), title, text });
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() {
            tracing::warn!(%error, "a page was refused");
            Self::Unavailable
        } else {
            tracing::error!(%error, "a page failed");
            Self::Internal
        }
    }
}

impl From<ActionError> for PageError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NotFound => Self::NotFound,
            ActionError::Forbidden => Self::Forbidden,
            ActionError::Busy => Self::Unavailable,
            ActionError::Store(error) => error.into(),
            other => {
                tracing::error!(error = %other, "a page failed");
                Self::Internal
            }
        }
    }
}

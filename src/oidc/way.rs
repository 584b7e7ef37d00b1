//! How an answer reaches the app: in the query of a redirect, by a page that goes on by itself, or by a form.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::PlainSecret;
use crate::domain::oidc::request::{Refused, ResponseMode};
use crate::http::page::{Page, on_the_way};

/// The way back to an app, whose address was found right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    /// The address.
    pub uri: &'a str,
    /// By what.
    pub mode: ResponseMode,
    /// What the app gets back.
    pub state: Option<&'a str>,
    /// Who answers (RFC 9207).
    pub issuer: &'a str,
    /// Whether a form of ours was shown on the way. Browsers then refuse a redirect to another host.
    pub is_after_form: bool,
    /// The application's name.
    pub name: &'a str,
}

impl Way<'_> {
    /// Sends a code.
    pub(super) fn give(&self, code: &PlainSecret) -> Response {
        self.send(&[("code", code.expose())])
    }

    /// Says why there is none.
    pub(super) fn refuse(&self, refused: Refused) -> Response {
        self.send(&[("error", refused.error()), ("error_description", refused.description())])
    }

    /// The address that says why there is none, where an address can say it.
    pub(super) fn address(&self, refused: Refused) -> Option<String> {
        let is_query = self.mode == ResponseMode::Query;
        is_query.then(|| self.with(&self.all(&[("error", refused.error()), ("error_description", refused.description())])))
    }

    fn all<'a>(&'a self, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        fields.iter().copied().chain(self.state.map(|state| ("state", state))).chain([("iss", self.issuer)]).collect()
    }

    fn with(&self, fields: &[(&str, &str)]) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let query: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let separator = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.uri, query.join("&"))
    }

    fn send(&self, fields: &[(&str, &str)]) -> Response {
        let all = self.all(fields);
        let mut response = match self.mode {
            ResponseMode::FormPost => {
                let fields = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                Page::new(format!("Going on to {}", self.name), []).form(self.uri, fields).answer(StatusCode::OK)
            }
            ResponseMode::Query if self.is_after_form => on_the_way(&format!("Going on to {}", self.name), &self.with(&all)),
            ResponseMode::Query => redirect(StatusCode::FOUND, &self.with(&all)),
        };
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// A redirect. An address that no header can hold is none.
pub(super) fn redirect(status: StatusCode, to: &str) -> Response {
    match HeaderValue::try_from(to) {
        Ok(to) => (status, [(header::LOCATION, to)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

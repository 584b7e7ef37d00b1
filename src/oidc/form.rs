//! How the endpoints that apps call read a request: a form in the body, and who sends it (RFC 6749, 2.3.1).

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::actions::oidc::clients::Shown;
use crate::domain::PlainSecret;
use crate::domain::oidc::request::{MAX_LENGTH, Parameters};
use crate::http::query::Query;
use crate::oidc::answer::Wrong;

/// The parameters of a form.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body; nothing in the query counts.
    ///
    /// # Errors
    /// [`Wrong::Request`].
    pub(super) async fn read(parts: &Parts, body: Body) -> Result<Self, Wrong> {
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
            return Err(Wrong::Request("the body is a form"));
        }
        let bytes = to_bytes(body, MAX_LENGTH * 2).await.map_err(|_| Wrong::Request("the body is too long"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Wrong::Request("the body is not UTF-8"))?;
        let form = Self(pairs(text));
        if !form.given().is_short() {
            return Err(Wrong::Request("the body is too long"));
        }
        if form.given().has_doubles() {
            return Err(Wrong::Request("a parameter is there twice"));
        }
        Ok(form)
    }

    pub(super) fn given(&self) -> Parameters<'_> {
        Parameters(&self.0)
    }

    /// The value of a parameter; empty ones are none.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.given().single(name).ok().flatten()
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// [`Wrong::Request`].
    pub(super) fn must(&self, name: &str, missing: &'static str) -> Result<&str, Wrong> {
        self.find(name).ok_or(Wrong::Request(missing))
    }

    /// What the sender shows to be the client: by `Authorization: Basic`, or in the form. Not both.
    ///
    /// # Errors
    /// [`Wrong::Request`]; [`Wrong::Client`] when nothing names a client.
    pub(super) fn shown(&self, headers: &HeaderMap) -> Result<(Shown, bool), Wrong> {
        let (id, secret) = (self.find("client_id"), self.find("client_secret"));
        if let Some(basic) = basic(headers)? {
            return match (secret, id) {
                (Some(_), _) => Err(Wrong::Request("a client authenticates in one way")),
                (None, Some(id)) if id != basic.id => Err(Wrong::Request("client_id is another client's")),
                (None, _) => Ok((basic, true)),
            };
        }
        let id = id.ok_or(Wrong::Client { is_basic: false })?.to_owned();
        Ok((Shown { id, secrets: secret.map(PlainSecret::from_text).into_iter().collect() }, false))
    }
}

/// The pairs of a query or a form, decoded.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    Query::parse(text).pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `Authorization: Basic`. Both parts are encoded as in a form; what fits as it is counts, too, since many apps send it so.
fn basic(headers: &HeaderMap) -> Result<Option<Shown>, Wrong> {
    let wrong = || Wrong::Client { is_basic: true };
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.to_str().map_err(|_| wrong())?;
    let Some((scheme, value)) = text.split_once(' ') else { return Err(wrong()) };
    if !scheme.eq_ignore_ascii_case("basic") || lines.next().is_some() {
        return Err(wrong());
    }
    let decoded = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let (id, secret) = decoded.split_once(':').ok_or_else(wrong)?;
    let in_form = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let secrets = [secret.to_owned(), in_form(secret)].into_iter().filter(|secret| !secret.is_empty());
    Ok(Some(Shown { id: in_form(id), secrets: secrets.map(PlainSecret::from_text).collect() }))
}

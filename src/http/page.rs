//! Pages that need no other file: on guarded hosts, where all addresses but a few are the app's, and on the way to apps.

use std::sync::LazyLock;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:0;padding:2rem 1rem}main{max-width:36rem;margin:0 auto;\
overflow-wrap:anywhere}h1{font-size:1.5rem;line-height:1.25}.actions a{display:inline-block;margin-right:1.5rem;padding:.5rem 0}";

/// Nothing from elsewhere, no script, and this one style.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The same for the page whose one form goes to an app: it names no place for forms, since browsers apply that to the app's
/// own redirects, too. The form and its fields are ours.
static FORM_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{hash}'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// A link of a page.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it leads.
    pub href: String,
    /// What it says.
    pub label: &'static str,
}

/// A page.
#[derive(Clone, Debug, Template)]
#[template(path = "plain_page.html")]
pub struct Page {
    title: String,
    texts: Vec<String>,
    links: Vec<Link>,
    /// What scripts and tests find the page by, or `""`.
    id: &'static str,
    /// Where a form goes, and its hidden fields; `""`: there is none.
    action: String,
    fields: Vec<(String, String)>,
    style: &'static str,
}

impl Page {
    /// A page with this title and these paragraphs.
    #[must_use]
    pub fn new(title: impl Into<String>, texts: impl IntoIterator<Item = String>) -> Self {
        Self {
            title: title.into(),
            texts: texts.into_iter().filter(|text| !text.is_empty()).collect(),
            links: Vec::new(),
            id: "",
            action: String::new(),
            fields: Vec::new(),
            style: STYLE,
        }
    }

    /// The page under an id.
    #[must_use]
    pub fn id(mut self, id: &'static str) -> Self {
        self.id = id;
        self
    }

    /// The page with a form of hidden fields, which goes to another host and is sent by a button or by our script.
    #[must_use]
    pub fn form(mut self, action: impl Into<String>, fields: Vec<(String, String)>) -> Self {
        self.action = action.into();
        self.fields = fields;
        self
    }

    /// The page with one more link.
    #[must_use]
    pub fn link(mut self, label: &'static str, href: impl Into<String>) -> Self {
        self.links.push(Link { href: href.into(), label });
        self
    }

    /// The page as an answer.
    #[must_use]
    pub fn answer(&self, status: StatusCode) -> Response {
        let Ok(html) = self.render() else { return status.into_response() };
        let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
        let policy = if self.action.is_empty() { CONTENT_SECURITY_POLICY.clone() } else { FORM_POLICY.clone() };
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }
}

/// Leads on by a page instead of a redirect: browsers refuse a redirect to another host that follows a form which may be
/// sent to its own host only (`form-action` in Content Security Policy).
#[must_use]
pub fn on_the_way(title: &str, to: &str) -> Response {
    let mut response = Page::new(title, []).link("Go on", to).answer(StatusCode::OK);
    if let Ok(refresh) = HeaderValue::try_from(format!("0; url={to}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

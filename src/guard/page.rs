//! Pages on guarded hosts. They need no other file: under these hosts all addresses but a few are the app's.

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
#[template(path = "guard/page.html")]
pub struct Page {
    title: String,
    texts: Vec<String>,
    links: Vec<Link>,
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
            style: STYLE,
        }
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
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone());
        response
    }
}

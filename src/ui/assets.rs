//! Files of the pages, part of the binary, under names that change with their content.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::domain::secret::hex;

const CSS: &str = include_str!("../../static/rollcall.css");
const ICON: &str = include_str!("../../static/icon.svg");

static CSS_PATH: LazyLock<String> = LazyLock::new(|| {
    let hash = hex(&Sha256::digest(CSS.as_bytes()));
    format!("/static/rollcall-{}.css", hash.get(..12).unwrap_or_default())
});

/// The style sheet's address.
#[must_use]
pub fn css() -> &'static str {
    &CSS_PATH
}

/// `/static/{file}`: may be kept for ever, but for the icon, whose name stays.
pub async fn serve(Path(file): Path<String>) -> Response {
    let (kind, content, keep) = match file.as_str() {
        "icon.svg" => ("image/svg+xml", ICON, "public, max-age=86400"),
        name if CSS_PATH.ends_with(&format!("/{name}")) => ("text/css; charset=utf-8", CSS, "public, max-age=31536000, immutable"),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)], content).into_response()
}

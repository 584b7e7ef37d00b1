//! Files of the pages, part of the binary, under names that change with their content.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::domain::secret::hex;

const ICON: &str = include_str!("../../static/icon.svg");

/// A file under a name with its hash.
struct Asset {
    path: String,
    kind: &'static str,
    content: std::borrow::Cow<'static, str>,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, content: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        let content = content.into();
        let hash = hex(&Sha256::digest(content.as_bytes()));
        Self { path: format!("/static/{stem}-{}.{extension}", hash.get(..12).unwrap_or_default()), kind, content }
    }
}

const CSS_KIND: &str = "text/css; charset=utf-8";
const JS_KIND: &str = "text/javascript; charset=utf-8";

static CSS: LazyLock<Asset> = LazyLock::new(|| Asset::new("rollcall", "css", CSS_KIND, include_str!("../../static/rollcall.css")));
static JS: LazyLock<Asset> = LazyLock::new(|| Asset::new("rollcall", "js", JS_KIND, include_str!("../../static/rollcall.js")));

static PASSKEYS_JS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("passkeys", "js", JS_KIND, include_str!("../../static/passkeys.js")));

/// It names the other module, whose name changes.
static LIVE_JS: LazyLock<Asset> = LazyLock::new(|| {
    let name = JS.path.trim_start_matches("/static/");
    Asset::new("live", "js", JS_KIND, include_str!("../../static/live.js").replace("ROLLCALL_JS", name))
});

/// The style sheet's address.
#[must_use]
pub fn css() -> &'static str {
    &CSS.path
}

/// The address of the module that every page loads.
#[must_use]
pub fn js() -> &'static str {
    &JS.path
}

/// The address of the module that keeps the table of sessions up to date.
#[must_use]
pub fn live_js() -> &'static str {
    &LIVE_JS.path
}

/// The address of the module that asks for passkeys.
#[must_use]
pub fn passkeys_js() -> &'static str {
    &PASSKEYS_JS.path
}

/// `/static/{file}`: may be kept for ever, but for the icon, whose name stays.
pub async fn serve(Path(file): Path<String>) -> Response {
    if file == "icon.svg" {
        return ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")], ICON).into_response();
    }
    let assets: [&'static Asset; 4] = [&CSS, &JS, &LIVE_JS, &PASSKEYS_JS];
    let asset = assets.into_iter().find(|asset| asset.path.strip_prefix("/static/") == Some(&file));
    let Some(asset) = asset else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content.as_ref()).into_response()
}

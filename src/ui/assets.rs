//! Files of the pages, part of the binary, under names that change with their content.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::domain::secret::hex;
use crate::http::static_file::StaticFile;

/// Its name does not change with its content, so browsers keep it for a day only.
static ICON: LazyLock<StaticFile> =
    LazyLock::new(|| StaticFile::new("image/svg+xml", "public, max-age=86400", include_str!("../../static/icon.svg")));

/// What sends the form of an answer to an app. Its page is made where the names of other files are not known.
static SEND_JS: LazyLock<StaticFile> =
    LazyLock::new(|| StaticFile::new(JS_KIND, "public, max-age=86400", include_str!("../../static/send.js")));

/// A file under a name with its hash.
struct Asset {
    path: String,
    file: StaticFile,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, content: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        let content = content.into();
        let hash = hex(&Sha256::digest(content.as_bytes()));
        let path = format!("/static/{stem}-{}.{extension}", hash.get(..12).unwrap_or_default());
        Self { path, file: StaticFile::new(kind, "public, max-age=31536000, immutable", content.into_owned()) }
    }
}

const CSS_KIND: &str = "text/css; charset=utf-8";
const JS_KIND: &str = "text/javascript; charset=utf-8";

static CSS: LazyLock<Asset> = LazyLock::new(|| Asset::new("rollcall", "css", CSS_KIND, include_str!("../../static/rollcall.css")));
static JS: LazyLock<Asset> = LazyLock::new(|| Asset::new("rollcall", "js", JS_KIND, include_str!("../../static/rollcall.js")));

static PASSKEYS_JS: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("passkeys", "js", JS_KIND, include_str!("../../static/passkeys.js")));

/// It contains the name of the other module, which changes.
static LIVE_JS: LazyLock<Asset> = LazyLock::new(|| {
    let name = JS.path.trim_start_matches("/static/");
    Asset::new("live", "js", JS_KIND, include_str!("../../static/live.js").replace("ROLLCALL_JS", name))
});

/// It contains that name, too.
static EVENTS_JS: LazyLock<Asset> = LazyLock::new(|| {
    let name = JS.path.trim_start_matches("/static/");
    Asset::new("events", "js", JS_KIND, include_str!("../../static/events.js").replace("ROLLCALL_JS", name))
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

/// The address of the module that adds new events to their table.
#[must_use]
pub fn events_js() -> &'static str {
    &EVENTS_JS.path
}

/// The address of the module that asks for passkeys.
#[must_use]
pub fn passkeys_js() -> &'static str {
    &PASSKEYS_JS.path
}

/// `/static/{file}`: browsers may keep these files without limit, except two whose names do not change.
pub async fn serve(Path(file): Path<String>) -> Response {
    if file == "icon.svg" {
        return ICON.answer();
    }
    if file == "send.js" {
        return SEND_JS.answer();
    }
    let assets: [&'static Asset; 5] = [&CSS, &JS, &LIVE_JS, &EVENTS_JS, &PASSKEYS_JS];
    match assets.into_iter().find(|asset| asset.path.strip_prefix("/static/") == Some(&file)) {
        Some(asset) => asset.file.answer(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

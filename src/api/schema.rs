//! The API's description: OpenAPI 3.1, made from the handlers, and a page to browse it.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::api::core::authenticated_sessions::{details, revoke};
use crate::api::core::users::recovery;
use crate::api::core::{authenticated_sessions as sessions, ended_sessions};
use crate::api::error::json_response;
use crate::api::flows::executor;

/// The description's source.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Who is signed in, from where and on what; and how to sign them out. Compatible with authentik's API v3.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        sessions::list,
        sessions::retrieve,
        sessions::destroy,
        sessions::used_by,
        sessions::bulk_delete,
        details::retrieve,
        revoke::revoke,
        ended_sessions::list,
        recovery::create,
        executor::get,
        executor::solve
    ),
    modifiers(&Security)
)]
struct Description;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token with the intent `api`.")).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let about = "A session. Over https the cookie is named __Host-rollcall_session. Requests that change something also \
            need the cookie authentik_csrf and the header X-authentik-CSRF, which must agree.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("rollcall_session", about));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

static DESCRIPTION: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Description::openapi);

/// The whole description.
#[must_use]
pub fn description() -> &'static utoipa::openapi::OpenApi {
    &DESCRIPTION
}

/// `/api/v3/schema/`: the description as JSON.
pub async fn schema() -> Response {
    json_response(StatusCode::OK, description())
}

const PAGE: &str = include_str!("../../static/browser.html");
const START: &str = include_str!("../../static/browser.js");

/// `/api/v3/`: a page to browse the description.
pub async fn browser() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

/// The page's own files: Swagger UI's, as they come with its crate.
pub async fn browser_file(Path(file): Path<String>) -> Response {
    if file == "start.js" {
        return ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], START).into_response();
    }
    let config = std::sync::Arc::new(utoipa_swagger_ui::Config::from("/api/v3/schema/"));
    match utoipa_swagger_ui::serve(&file, config) {
        Ok(Some(found)) if matches!(file.rsplit_once('.'), Some((_, "css" | "js"))) => (
            [(header::CONTENT_TYPE, found.content_type), (header::CACHE_CONTROL, "public, max-age=86400".into())],
            found.bytes.into_owned(),
        )
            .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

//! The API's description: OpenAPI 3.1, made from the handlers, and a page to browse it.

use std::io::Read;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use serde_json::json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, ServerBuilder};
use utoipa::{Modify, OpenApi};

use crate::api::core::authenticated_sessions::{bulk_delete, details, revoke};
use crate::api::core::{
    app_sessions, applications, authenticated_sessions as sessions, brands, ended_sessions, groups, logout_notices, tokens,
    user_consent, users,
};
use crate::api::error::{ApiError, GenericError};
use crate::api::flows::executor;
use crate::api::policies::bindings;
use crate::api::{
    admin, authenticators, crypto, empty, events, flows, oauth2, outposts, propertymappings, providers, root, stages,
};
use crate::http::query::Query;
use crate::http::static_file::StaticFile;

/// What the paths of the description begin with. It is in `servers`, as in authentik's description.
pub const BASE: &str = "/api/v3";

/// The description's source.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rollcall",
        description = "Who is signed in, from where and on what; and how to sign them out. Compatible with authentik's API v3.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        sessions::list,
        sessions::retrieve,
        sessions::destroy,
        sessions::used_by,
        bulk_delete::bulk_delete,
        details::retrieve,
        revoke::revoke,
        ended_sessions::list,
        users::list,
        users::create,
        users::retrieve,
        users::update,
        users::partial_update,
        users::destroy,
        users::used_by,
        users::list_paths,
        users::me::retrieve,
        users::password::set_password,
        users::password::set_password_hash,
        users::recovery::create,
        users::service_account::create,
        groups::list,
        groups::create,
        groups::retrieve,
        groups::update,
        groups::partial_update,
        groups::destroy,
        groups::add_user,
        groups::remove_user,
        groups::used_by,
        executor::get,
        executor::solve,
        schema
    ),
    components(schemas(GenericError)),
    modifiers(&Common)
)]
struct Description;

/// The operations about the instance, its events and its tokens.
#[derive(OpenApi)]
#[openapi(paths(
    root::config::retrieve,
    admin::version::retrieve,
    admin::system::retrieve,
    admin::system::create,
    brands::retrieve_current,
    tokens::list,
    tokens::create,
    tokens::retrieve,
    tokens::update,
    tokens::partial_update,
    tokens::destroy,
    tokens::view_key,
    tokens::set_key,
    tokens::used_by,
    authenticators::list,
    authenticators::list_admin,
    flows::instances::list,
    flows::instances::retrieve,
    events::list,
    events::retrieve,
    events::list_actions,
    events::statistics::volume,
    events::statistics::top,
    events::statistics::stats,
    stages::user_login::list,
    stages::user_login::retrieve,
    stages::user_login::update,
    stages::user_login::partial_update
))]
struct Instance;

/// The operations about applications.
#[derive(OpenApi)]
#[openapi(paths(
    applications::list,
    applications::create,
    applications::retrieve,
    applications::update,
    applications::partial_update,
    applications::destroy,
    applications::check_access,
    applications::used_by,
    app_sessions::list,
    app_sessions::destroy,
    logout_notices::list,
    logout_notices::send,
    logout_notices::drop_one,
    bindings::list,
    bindings::create,
    bindings::retrieve,
    bindings::update,
    bindings::partial_update,
    bindings::destroy,
    providers::all::list,
    providers::all::retrieve,
    providers::proxy::list,
    providers::proxy::create,
    providers::proxy::retrieve,
    providers::proxy::update,
    providers::proxy::partial_update,
    providers::proxy::destroy,
    providers::proxy::used_by,
    providers::oauth2::list,
    providers::oauth2::create,
    providers::oauth2::retrieve,
    providers::oauth2::update,
    providers::oauth2::partial_update,
    providers::oauth2::destroy,
    providers::oauth2::setup_urls,
    providers::oauth2::used_by,
    propertymappings::list,
    propertymappings::retrieve,
    propertymappings::list_scopes,
    propertymappings::retrieve_scope,
    propertymappings::scope_used_by,
    oauth2::access_tokens::list,
    oauth2::access_tokens::retrieve,
    oauth2::access_tokens::destroy,
    oauth2::access_tokens::used_by,
    oauth2::refresh_tokens::list,
    oauth2::refresh_tokens::retrieve,
    oauth2::refresh_tokens::destroy,
    oauth2::refresh_tokens::used_by,
    user_consent::list,
    user_consent::retrieve,
    user_consent::destroy,
    crypto::list,
    crypto::retrieve,
    crypto::used_by,
    outposts::instances::list,
    outposts::instances::retrieve,
    outposts::instances::update,
    outposts::instances::partial_update
))]
struct Applications;

/// What all operations share: base address, credentials, and the errors that the scaffold answers.
struct Common;

/// The scheme of API tokens: authentik's name, which clients made from a description use.
const TOKEN: &str = "authentik";
const COOKIE: &str = "session";
const VALIDATION_ERROR: &str = "ValidationError";
const GENERIC_ERROR: &str = "GenericError";

/// The errors that every operation may answer: status, whether only operations with a body do, what it
/// means.
const ERRORS: [(u16, bool, &str); 8] = [
    (400, false, "A parameter or a field is wrong; the body names each. A wrong `search` is a list of texts."),
    (403, false, "The credentials open nothing, or the caller may not do this."),
    (404, false, "There is no such object, page or form, or the caller may not know of it."),
    (405, false, "The address does not take this method; `Allow` names those it takes."),
    (406, false, "The client does not accept JSON."),
    (413, true, "The body is too large."),
    (415, true, "The body is not JSON."),
    (503, false, "The server cannot do this now; `Retry-After` says when to try again."),
];

impl Modify for Common {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        openapi.merge(Instance::openapi());
        openapi.merge(Applications::openapi());
        empty::describe(openapi);
        flows::wire::describe(openapi);
        openapi.servers = Some(vec![ServerBuilder::new().url(BASE).build()]);
        let paths = std::mem::take(&mut openapi.paths.paths);
        let shortened = paths.into_iter().map(|(path, item)| (path.strip_prefix(BASE).unwrap_or(&path).to_owned(), item));
        openapi.paths.paths = shortened.collect();
        for item in openapi.paths.paths.values_mut() {
            let methods = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for operation in methods.into_iter().flatten() {
                add_errors(operation);
            }
        }
        let components = openapi.components.get_or_insert_default();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token with the intent `api`.")).build();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(token));
        let about = "A session. Over https the cookie is named __Host-rollcall_session. Requests that change something also \
            need the cookie authentik_csrf and the header X-authentik-CSRF, which must agree.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("rollcall_session", about));
        components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(cookie));
        components.schemas.insert(VALIDATION_ERROR.to_owned(), RefOr::T(validation_error()));
    }
}

/// Adds the common errors that an operation does not describe itself, and the credentials.
fn add_errors(operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    for (status, _, about) in ERRORS.into_iter().filter(|(_, needs_body, _)| has_body || !needs_body) {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| {
            let schema: RefOr<Schema> = if status == 400 {
                let text = ObjectBuilder::new().schema_type(Type::String);
                let texts = ArrayBuilder::new().items(text);
                OneOfBuilder::new().item(Ref::from_schema_name(VALIDATION_ERROR)).item(texts).into()
            } else {
                Ref::from_schema_name(GENERIC_ERROR).into()
            };
            let content = ContentBuilder::new().schema(Some(schema)).build();
            RefOr::T(ResponseBuilder::new().description(about).content("application/json", content).build())
        });
    }
    let credentials = || [TOKEN, COOKIE].map(|scheme| SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []));
    operation.security.get_or_insert_with(|| credentials().to_vec());
}

/// What 400 says: the wrong parameters or fields, each with what is wrong.
fn validation_error() -> Schema {
    let texts = || ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::String));
    ObjectBuilder::new()
        .description(Some("The wrong parameters or fields, each with a list of what is wrong."))
        .property("non_field_errors", texts().description(Some("What is wrong with the request as a whole.")))
        .property("code", ObjectBuilder::new().schema_type(Type::String).description(Some("Never sent.")))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([json!({ "user": ["Enter a whole number."] })])
        .into()
}

static DESCRIPTION: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Description::openapi);

/// The whole description.
#[must_use]
pub fn description() -> &'static utoipa::openapi::OpenApi {
    &DESCRIPTION
}

static SCHEMA: LazyLock<StaticFile> = LazyLock::new(|| {
    let text = serde_json::to_vec(description()).unwrap_or_else(|error| {
        tracing::error!(%error, "the API's description could not be written");
        Vec::new()
    });
    StaticFile::new("application/json", "no-store", text)
});

/// The forms that the description is given in.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "it describes the parameter; nothing makes one")]
enum DescriptionForm {
    Json,
}

/// Gives this description, as JSON.
#[utoipa::path(
    get, path = "/api/v3/schema/", operation_id = "schema_retrieve", tag = "schema", security(()),
    params(("format" = inline(Option<DescriptionForm>), Query, description = "`json`, or empty: there is no other form.")),
    responses((status = 200, body = Object, description = "The description."))
)]
pub(crate) async fn schema(uri: Uri) -> Response {
    // YAML readers take JSON, but who asks for YAML by name expects YAML.
    let query = Query::parse(uri.query().unwrap_or_default());
    match query.last("format") {
        None | Some("" | "json") => SCHEMA.answer(),
        Some(_) => ApiError::NotAcceptable.into_response(),
    }
}

static PAGE: LazyLock<StaticFile> =
    LazyLock::new(|| StaticFile::new("text/html; charset=utf-8", "no-store", include_str!("../../static/browser.html")));
static START: LazyLock<StaticFile> =
    LazyLock::new(|| StaticFile::new("text/javascript; charset=utf-8", "no-store", include_str!("../../static/browser.js")));

/// A file of Swagger UI, as the build compressed it.
fn swagger(kind: &'static str, compressed: &[u8]) -> StaticFile {
    let mut content = Vec::new();
    if let Err(error) = GzDecoder::new(compressed).read_to_end(&mut content) {
        tracing::error!(%error, "a file of the page of the API's description could not be read");
    }
    StaticFile::new(kind, "public, max-age=86400", content)
}

static SWAGGER_JS: LazyLock<StaticFile> = LazyLock::new(|| {
    swagger("text/javascript; charset=utf-8", include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")))
});
static SWAGGER_CSS: LazyLock<StaticFile> =
    LazyLock::new(|| swagger("text/css; charset=utf-8", include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"))));

/// `/api/v3/`: a page to browse the description.
pub async fn browser() -> Response {
    PAGE.answer()
}

/// The page's own files.
pub async fn browser_file(Path(file): Path<String>) -> Response {
    match file.as_str() {
        "start.js" => START.answer(),
        "swagger-ui-bundle.js" => SWAGGER_JS.answer(),
        "swagger-ui.css" => SWAGGER_CSS.answer(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

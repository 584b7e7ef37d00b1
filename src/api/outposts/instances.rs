//! `/api/v3/outposts/instances/`: one row. Rollcall checks requests itself, so there is nothing to deploy.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::uuid;

use crate::actions::app::App;
use crate::api::core::wire::Dashed;
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::list::{ListTable, list_parameters};
use crate::api::providers::wire::{OUTPOST, Provider};
use crate::api::small_list::{self, FieldFilter, Fields, about, small_pages};
use crate::domain::filters::{About, Kind};

/// The primary key of the one row: the same everywhere and for ever.
const PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-6f7574706f73"));
const VIEWSET: &str = "Outpost Viewset";

/// The outpost: what checks requests to guarded hosts.
#[derive(Serialize, ToSchema)]
pub struct Outpost {
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    name: &'static str,
    /// Always `proxy`.
    r#type: &'static str,
    /// All guards, by primary key.
    providers: Vec<i64>,
    /// The same with details.
    providers_obj: Vec<Provider>,
    /// Always null.
    #[schema(required)]
    service_connection: Option<String>,
    /// Always null.
    #[schema(required)]
    service_connection_obj: Option<Value>,
    /// Always 300.
    refresh_interval_s: i64,
    /// Always `""`.
    token_identifier: &'static str,
    /// `authentik_host` alone.
    #[schema(value_type = Object)]
    config: Map<String, Value>,
    /// What marks it as the built-in one.
    managed: Option<&'static str>,
}

small_pages! {
    /// A page of outposts.
    OutpostPage of Outpost = PaginatedOutpostList;
}

/// An outpost's fields. Nothing of it is read: the row stays as it is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is accepted")]
pub struct OutpostRequest {
    /// Ignored.
    #[schema(nullable = false)]
    name: Option<String>,
    /// Ignored.
    #[schema(nullable = false)]
    providers: Option<Vec<i64>>,
}

/// How outposts are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("name", Kind::Text, "The name, exactly"),
        about("managed", Kind::Text, "What marks it, exactly"),
        about("type", Kind::Text, "The type"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[("name", "name__iexact"), ("managed", "managed__iexact")];
    const SEARCHED: &'static [&'static str] = &["name"];
    const ORDERS: &'static [&'static str] = &["name"];
}

static OUTPOSTS: ListTable<FieldFilter<Listed>, &'static str> =
    small_list::table("Changes nothing: there is one row.", "Terms, each of which must be part of the name.");

list_parameters!(OutpostListParameters, OUTPOSTS);

/// The list's address. It is for administrators.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Outpost List", VIEWSET).needs(administrators).on(Method::GET, list).route()
}

/// One outpost's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Outpost Instance", VIEWSET).of("Outpost").needs(administrators);
    endpoint.on(Method::GET, retrieve).on(Method::PUT, update).on(Method::PATCH, partial_update).route()
}

async fn outpost(app: &App) -> Result<Outpost, ApiError> {
    let all = app.store.applications().await?;
    let guards = all.guards();
    let host = app.config.http.public_url.as_ref().map(|url| url.origin().to_owned()).unwrap_or_default();
    Ok(Outpost {
        pk: PK,
        name: OUTPOST,
        r#type: "proxy",
        providers: guards.iter().map(|(guard, _)| guard.id).collect(),
        providers_obj: guards.iter().map(|(guard, application)| Provider::new(guard, application.map(AsRef::as_ref))).collect(),
        service_connection: None,
        service_connection_obj: None,
        refresh_interval_s: 300,
        token_identifier: "",
        config: Map::from_iter([("authentik_host".to_owned(), Value::from(host))]),
        managed: Some("goauthentik.io/outposts/embedded"),
    })
}

/// Lists outposts.
#[utoipa::path(
    get, path = "/api/v3/outposts/instances/", operation_id = "outposts_instances_list", tag = "outposts",
    params(OutpostListParameters), responses((status = 200, body = OutpostPage, description = "A page with one row."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let rows = vec![json!(outpost(&app).await?)];
    Ok(ok(&small_list::page(&OUTPOSTS, &call.query, app.config.api.strict_query, rows)?))
}

/// Shows the outpost.
#[utoipa::path(
    get, path = "/api/v3/outposts/instances/{uuid}/", operation_id = "outposts_instances_retrieve", tag = "outposts",
    params(("uuid" = String, Path, format = Uuid)), responses((status = 200, body = Outpost, description = "The outpost."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    match django::uuid(call.part()) {
        Some(uuid) if uuid.0 == PK.0 => Ok(ok(&outpost(&app).await?)),
        Some(_) => Err(ApiError::Missing),
        None => Err(ApiError::NotFound),
    }
}

/// Changes nothing: all guards are checked here, and the row stays as it is.
#[utoipa::path(
    put, path = "/api/v3/outposts/instances/{uuid}/", operation_id = "outposts_instances_update", tag = "outposts",
    params(("uuid" = String, Path, format = Uuid)), request_body = OutpostRequest,
    responses((status = 200, body = Outpost, description = "The outpost, as it was."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    call.read_object_within(crate::api::body::MAX_FIELDS).await?;
    retrieve(app, call).await
}

/// Changes nothing, as well.
#[utoipa::path(
    patch, path = "/api/v3/outposts/instances/{uuid}/", operation_id = "outposts_instances_partial_update", tag = "outposts",
    params(("uuid" = String, Path, format = Uuid)), request_body = OutpostRequest,
    responses((status = 200, body = Outpost, description = "The outpost, as it was."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

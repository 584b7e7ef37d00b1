//! `/api/v3/providers/proxy/`: guards, listed, shown, added, changed and removed.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::json;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::guards::{self, GuardChange};
use crate::actions::applications::{self, own_host};
use crate::actions::by::By;
use crate::api::body::{Body, TRIES};
use crate::api::core::wire::UsedBy;
use crate::api::django::{self, Int};
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, created, done, ok};
use crate::api::error::{ApiError, NON_FIELD_ERRORS, sentence};
use crate::api::list::{ListTable, list_parameters};
use crate::api::providers::fields::{self, Read};
use crate::api::providers::wire::{PatchedProxyProviderRequest, ProxyProvider, ProxyProviderPage, ProxyProviderRequest};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::application::{ApplicationRule, Provider};
use crate::domain::filters::{About, Kind};

/// Of which kind a guard is, in authentik's words.
const KIND: &str = "ProxyProvider";
const VIEWSET: &str = "ProxyProvider Viewset";

/// How guards are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("name", Kind::Text, "The name, exactly"),
        about("external_host", Kind::Text, "The address, exactly"),
        about("mode", Kind::Text, "The mode"),
        about("cookie_domain", Kind::Text, "The domain, exactly"),
        about("intercept_header_auth", Kind::Flag, "Whether app passwords are accepted"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &["name"];
    const ORDERS: &'static [&'static str] = &["name", "pk"];
}

static GUARDS: ListTable<FieldFilter<Listed>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `name`, `pk`. Without any that is known: by `name`.",
    "Terms, each of which must be part of the name.",
);

list_parameters!(ProxyProviderListParameters, GUARDS);

/// The list's address. It is for administrators, as all of these.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Proxy Provider List", VIEWSET).needs(administrators);
    endpoint.on(Method::GET, list).on(Method::POST, create).route()
}

/// One guard's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Proxy Provider Instance", VIEWSET).of(KIND).needs(administrators).on(Method::GET, retrieve);
    endpoint.on(Method::PUT, update).on(Method::PATCH, partial_update).on(Method::DELETE, destroy).route()
}

/// The address of what refers to a guard.
pub fn item_used_by() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND);
    endpoint.needs(administrators).on(Method::GET, used_by).route()
}

/// Lists guards.
#[utoipa::path(
    get, path = "/api/v3/providers/proxy/", operation_id = "providers_proxy_list", tag = "providers",
    params(
        ProxyProviderListParameters,
        ("application__isnull" = Option<bool>, Query, description = "Whether no application has it.")
    ),
    responses((status = 200, body = ProxyProviderPage, description = "A page of guards."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let all = app.store.applications().await?;
    let is_free = call.query.last("application__isnull").and_then(|text| text.to_ascii_lowercase().parse::<bool>().ok());
    let guards = all.guards().into_iter().filter(|(_, application)| is_free.is_none_or(|free| application.is_none() == free));
    let rows = guards.map(|(guard, application)| json!(ProxyProvider::new(guard, application.map(AsRef::as_ref)))).collect();
    Ok(ok(&small_list::page_with(&GUARDS, &call.query, app.config.api.strict_query, &["application__isnull"], rows)?))
}

fn id_of(call: &Call) -> Result<i64, ApiError> {
    django::int(call.part()).and_then(Int::value).ok_or(ApiError::NotFound)
}

/// A guard in authentik's words.
async fn shown(app: &App, id: i64) -> Result<ProxyProvider, ApiError> {
    let all = app.store.applications().await?;
    let found = all.guards().into_iter().find(|(guard, _)| guard.id == id);
    let (guard, application) = found.ok_or(ApiError::Missing)?;
    Ok(ProxyProvider::new(guard, application.map(AsRef::as_ref)))
}

/// Shows one guard.
#[utoipa::path(
    get, path = "/api/v3/providers/proxy/{id}/", operation_id = "providers_proxy_retrieve", tag = "providers",
    params(("id" = i64, Path)), responses((status = 200, body = ProxyProvider, description = "The guard."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    Ok(ok(&shown(&app, id_of(&call)?).await?))
}

/// What an action on a guard refused, in authentik's words.
fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Application(rule) => {
            let field = match &rule {
                ApplicationRule::NameLength | ApplicationRule::Name(_) => "name",
                ApplicationRule::HostTaken
                | ApplicationRule::OwnHost(_)
                | ApplicationRule::NoPublicUrl
                | ApplicationRule::Host(_)
                | ApplicationRule::Hosts => "external_host",
                _ => NON_FIELD_ERRORS,
            };
            ApiError::parameter(field, &sentence(&rule))
        }
        other => other.into(),
    }
}

/// Reads the fields of a guard. With `before`, these are changes of that one.
fn read(app: &App, body: Body, before: Option<&Provider>) -> Result<(GuardChange, Option<bool>), ApiError> {
    let own = app.config.http.public_url.as_ref().and_then(|url| own_host(url.origin()));
    let Read { name, guard, kept, intercepts } = fields::read(body, before, own.as_ref())?;
    Ok((GuardChange { name, guard: Some(guard), kept: Some(kept), expected: None }, intercepts))
}

/// Adds a guard, which opens nothing until an application has it.
#[utoipa::path(
    post, path = "/api/v3/providers/proxy/", operation_id = "providers_proxy_create", tag = "providers",
    request_body = ProxyProviderRequest, responses((status = 201, body = ProxyProvider, description = "The new guard."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let body = Body::of(&mut call).await?;
    let (change, _) = read(&app, body, None)?;
    let added = guards::add(&app, By::Principal(&call.who, &call.actor), change).await.map_err(refusal)?;
    Ok(created(&ProxyProvider::new(&added, None)))
}

/// Changes a guard.
#[utoipa::path(
    put, path = "/api/v3/providers/proxy/{id}/", operation_id = "providers_proxy_update", tag = "providers",
    params(("id" = i64, Path)), request_body = ProxyProviderRequest,
    responses((status = 200, body = ProxyProvider, description = "The guard, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut before = app.store.read().find_guard(id).await?.ok_or(ApiError::Missing)?;
    let body = Body::of(&mut call).await?;
    let by = By::Principal(&call.who, &call.actor);
    let mut tries = TRIES;
    let (changed, intercepts) = loop {
        let (change, intercepts) = read(&app, body.clone(), Some(&before))?;
        let change = GuardChange { expected: Some(before), ..change };
        match guards::change(&app, by, id, change).await {
            Err(ActionError::Outdated) if tries > 0 => tries -= 1,
            done => break (done.map_err(refusal)?, intercepts),
        }
        before = app.store.read().find_guard(id).await?.ok_or(ApiError::Missing)?;
    };
    // It is the application's own demand; the guard keeps it only until it has one.
    if let (Some(accepted), Some(application)) = (intercepts, changed.application)
        && let Some(slug) = app.store.read().find_application_slug(application).await?
    {
        let edit = applications::edit(&app, by, &slug, move |application| {
            application.access.app_passwords = accepted;
            Ok(())
        });
        edit.await.map_err(refusal)?;
    }
    Ok(ok(&shown(&app, id).await?))
}

/// Changes the fields of a guard that are sent.
#[utoipa::path(
    patch, path = "/api/v3/providers/proxy/{id}/", operation_id = "providers_proxy_partial_update", tag = "providers",
    params(("id" = i64, Path)), request_body = PatchedProxyProviderRequest,
    responses((status = 200, body = ProxyProvider, description = "The guard, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

/// Removes a guard; the app sessions of its application end.
#[utoipa::path(
    delete, path = "/api/v3/providers/proxy/{id}/", operation_id = "providers_proxy_destroy", tag = "providers",
    params(("id" = i64, Path)), responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    guards::remove(&app, By::Principal(&call.who, &call.actor), id_of(&call)?).await.map_err(refusal)?;
    Ok(done())
}

/// Lists what refers to a guard.
#[utoipa::path(
    get, path = "/api/v3/providers/proxy/{id}/used_by/", operation_id = "providers_proxy_used_by_list", tag = "providers",
    params(("id" = i64, Path)), responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    shown(&app, id_of(&call)?).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}

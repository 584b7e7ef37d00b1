//! `/api/v3/providers/all/`: all providers, guards and clients; read only.

use std::sync::Arc;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::json;

use crate::actions::app::App;
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::list::{ListTable, list_parameters};
use crate::api::providers::wire::{Provider, ProviderPage};
use crate::api::small_list::{self, FieldFilter, Fields};
use crate::domain::application::Application;
use crate::domain::filters::About;

/// How providers are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &["name", "assigned_application_name"];
    const ORDERS: &'static [&'static str] = &["name", "pk"];
}

static PROVIDERS: ListTable<FieldFilter<Listed>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `name`, `pk`. Without any that is known: by `name`.",
    "Terms, each of which must be part of the name or of its application's name.",
);

list_parameters!(ProviderListParameters, PROVIDERS);

/// The list's address. It is for administrators.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Provider List", "Provider Viewset").needs(administrators).on(Method::GET, list).route()
}

/// One provider's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Provider Instance", "Provider Viewset").of("Provider");
    endpoint.needs(administrators).on(Method::GET, retrieve).route()
}

/// Lists providers.
#[utoipa::path(
    get, path = "/api/v3/providers/all/", operation_id = "providers_all_list", tag = "providers",
    params(
        ProviderListParameters,
        ("application__isnull" = Option<bool>, Query, description = "Whether no application has it."),
        ("backchannel" = Option<bool>, Query, description = "Changes nothing.")
    ),
    responses((status = 200, body = ProviderPage, description = "A page of providers."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let all = app.store.applications().await?;
    let is_free = call.query.last("application__isnull").and_then(|text| text.to_ascii_lowercase().parse::<bool>().ok());
    let is_asked = |application: Option<&Arc<Application>>| is_free.is_none_or(|free| application.is_none() == free);
    let guards = all.guards().into_iter().filter(|(_, application)| is_asked(*application));
    let guards = guards.map(|(guard, application)| json!(Provider::new(guard, application.map(AsRef::as_ref))));
    let clients = all.client_parts().into_iter().filter(|(_, application)| is_asked(*application));
    let clients = clients.map(|(part, application)| json!(Provider::of_client(part, application.map(AsRef::as_ref))));
    let rows = guards.chain(clients).collect();
    let own = ["application__isnull", "backchannel"];
    Ok(ok(&small_list::page_with(&PROVIDERS, &call.query, app.config.api.strict_query, &own, rows)?))
}

/// Shows one provider.
#[utoipa::path(
    get, path = "/api/v3/providers/all/{id}/", operation_id = "providers_all_retrieve", tag = "providers",
    params(("id" = i64, Path)), responses((status = 200, body = Provider, description = "The provider."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let id = django::int(call.part()).and_then(django::Int::value).ok_or(ApiError::NotFound)?;
    let all = app.store.applications().await?;
    if let Some((guard, application)) = all.guards().into_iter().find(|(guard, _)| guard.id == id) {
        return Ok(ok(&Provider::new(guard, application.map(AsRef::as_ref))));
    }
    let (part, application) = all.client_parts().into_iter().find(|(part, _)| part.id == id).ok_or(ApiError::Missing)?;
    Ok(ok(&Provider::of_client(part, application.map(AsRef::as_ref))))
}

//! `/api/v3/providers/oauth2/`: clients, listed, shown, added, changed and removed.

pub mod fields;
pub mod wire;

use std::sync::Arc;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::json;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::client_parts::{self, ClientChange};
use crate::actions::applications::secrets;
use crate::actions::by::By;
use crate::api::body::{Body, TRIES};
use crate::api::core::wire::UsedBy;
use crate::api::django::{self, Int};
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, created, done, ok};
use crate::api::error::{ApiError, NON_FIELD_ERRORS, sentence};
use crate::api::list::{ListTable, list_parameters};
use crate::api::propertymappings;
use crate::api::providers::oauth2::wire::{
    OAuth2Provider, OAuth2ProviderPage, OAuth2ProviderRequest, OAuth2ProviderSetupURLs, PatchedOAuth2ProviderRequest,
};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::PlainSecret;
use crate::domain::application::{Application, ApplicationRule, ClientPart};
use crate::domain::filters::{About, Kind};

/// Of which kind a client is, in authentik's words.
const KIND: &str = "OAuth2Provider";
const VIEWSET: &str = "OAuth2Provider Viewset";
const TAKEN: &str = "OAuth2/OpenID Provider with this Client ID already exists.";
const CLIENT_TYPES: [&str; 2] = ["confidential", "public"];
const ISSUER_MODES: [&str; 2] = ["global", "per_provider"];
const SUB_MODES: [&str; 6] = ["hashed_user_id", "user_id", "user_uuid", "user_username", "user_email", "user_upn"];

/// How clients are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("name", Kind::Text, "The name, exactly"),
        about("client_id", Kind::Text, "What names it, exactly"),
        about("client_type", Kind::Choice(|| CLIENT_TYPES.to_vec()), "Whether it keeps a secret"),
        about("authorization_flow", Kind::Uuid, "The flow that says whether users are asked"),
        about("access_code_validity", Kind::Text, "How long a code can be redeemed, as shown"),
        about("access_token_validity", Kind::Text, "How long an access token is good, as shown"),
        about("refresh_token_validity", Kind::Text, "How long a refresh token is good, as shown"),
        about("include_claims_in_id_token", Kind::Flag, "Whether ID tokens have the claims of the scopes"),
        about("signing_key", Kind::Uuid, "The key that is kept"),
        about("sub_mode", Kind::Choice(|| SUB_MODES.to_vec()), "Who its tokens take a user for"),
        about("issuer_mode", Kind::Choice(|| ISSUER_MODES.to_vec()), "Always per_provider"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &["name"];
    const ORDERS: &'static [&'static str] = &["name", "pk"];
}

static CLIENTS: ListTable<FieldFilter<Listed>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `name`, `pk`. Without any that is known: by `name`.",
    "Terms, each of which must be part of the name.",
);

list_parameters!(OAuth2ProviderListParameters, CLIENTS);

/// Parameters of the list's address alone.
const OWN: [&str; 3] = ["application", "application__isnull", "property_mappings"];

/// The list's address. It is for administrators, as all of these.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("OAuth2 Provider List", VIEWSET).needs(administrators);
    endpoint.on(Method::GET, list).on(Method::POST, create).route()
}

/// One client's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("OAuth2 Provider Instance", VIEWSET).of(KIND).needs(administrators).on(Method::GET, retrieve);
    endpoint.on(Method::PUT, update).on(Method::PATCH, partial_update).on(Method::DELETE, destroy).route()
}

/// The address of what an app is told of its client.
pub fn item_setup_urls() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Setup urls", "Get Providers setup URLs").of(KIND);
    endpoint.needs(administrators).on(Method::GET, setup_urls).route()
}

/// The address of what refers to a client.
pub fn item_used_by() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND);
    endpoint.needs(administrators).on(Method::GET, used_by).route()
}

fn by(call: &Call) -> By<'_> {
    By::Principal(&call.who, &call.actor)
}

/// Lists clients.
#[utoipa::path(
    get, path = "/api/v3/providers/oauth2/", operation_id = "providers_oauth2_list", tag = "providers",
    params(
        OAuth2ProviderListParameters,
        ("application" = Option<uuid::Uuid>, Query, description = "The application that has it."),
        ("application__isnull" = Option<bool>, Query, description = "Whether no application has it."),
        ("property_mappings" = Option<Vec<uuid::Uuid>>, Query, description = "A scope that it may ask for; may be repeated.")
    ),
    responses((status = 200, body = OAuth2ProviderPage, description = "A page of clients."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let all = app.store.applications().await?;
    let secrets = secrets::readable(&app, by(&call)).await?;
    let is_free = call.query.last("application__isnull").and_then(|text| text.to_ascii_lowercase().parse::<bool>().ok());
    let of = key(&call, "application")?;
    let scopes = keys(&call, "property_mappings")?;
    let is_asked = |(part, application): &(&ClientPart, Option<&Arc<Application>>)| {
        let mappings = propertymappings::of_client(part);
        is_free.is_none_or(|free| application.is_none() == free)
            && of.is_none_or(|of| application.is_some_and(|application| application.uuid == of))
            && (scopes.is_empty() || scopes.iter().any(|scope| mappings.contains(scope)))
    };
    let rows = all.client_parts().into_iter().filter(is_asked).map(|(part, application)| {
        json!(OAuth2Provider::new(part, application.map(AsRef::as_ref), secrets.get(&part.id).map(String::as_str)))
    });
    Ok(ok(&small_list::page_with(&CLIENTS, &call.query, app.config.api.strict_query, &OWN, rows.collect())?))
}

/// The UUIDs of a parameter.
fn keys(call: &Call, name: &str) -> Result<Vec<uuid::Uuid>, ApiError> {
    let given = call.query.all(name).map(str::trim).filter(|text| !text.is_empty());
    let read = |text: &str| django::uuid(text).map(|id| id.0).ok_or_else(|| ApiError::parameter(name, "Enter a valid UUID."));
    given.map(read).collect()
}

fn key(call: &Call, name: &str) -> Result<Option<uuid::Uuid>, ApiError> {
    Ok(keys(call, name)?.pop())
}

fn id_of(call: &Call) -> Result<i64, ApiError> {
    django::int(call.part()).and_then(Int::value).ok_or(ApiError::NotFound)
}

/// A client in authentik's words: with `secret`, which a call has just set, or with the one that can be read.
async fn shown(app: &App, call: &Call, id: i64, secret: Option<&str>) -> Result<OAuth2Provider, ApiError> {
    let all = app.store.applications().await?;
    let (part, application) = all.client_parts().into_iter().find(|(part, _)| part.id == id).ok_or(ApiError::Missing)?;
    let readable = secrets::readable(app, by(call)).await?;
    let secret = secret.or_else(|| readable.get(&id).map(String::as_str));
    Ok(OAuth2Provider::new(part, application.map(AsRef::as_ref), secret))
}

/// Shows one client.
#[utoipa::path(
    get, path = "/api/v3/providers/oauth2/{id}/", operation_id = "providers_oauth2_retrieve", tag = "providers",
    params(("id" = i64, Path)), responses((status = 200, body = OAuth2Provider, description = "The client."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    Ok(ok(&shown(&app, &call, id_of(&call)?, None).await?))
}

/// What an action on a client refused, in authentik's words.
fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Application(ApplicationRule::ClientIdTaken) => ApiError::parameter("client_id", TAKEN),
        ActionError::Application(rule) => ApiError::parameter(field_of(&rule), &sentence(&rule)),
        other => other.into(),
    }
}

/// The field that a rule is about.
fn field_of(rule: &ApplicationRule) -> &'static str {
    match rule {
        ApplicationRule::NameLength | ApplicationRule::Name(_) => "name",
        ApplicationRule::ClientId => "client_id",
        ApplicationRule::Secret | ApplicationRule::SecretTaken => "client_secret",
        ApplicationRule::RedirectUris | ApplicationRule::Redirect(_) => "redirect_uris",
        ApplicationRule::Target(_) => "logout_uri",
        ApplicationRule::Scope(_) => "property_mappings",
        ApplicationRule::TokenLifetime | ApplicationRule::JwtLifetime => "access_token_validity",
        _ => NON_FIELD_ERRORS,
    }
}

/// Adds a client, which opens nothing until an application has it. Its secret is in this answer alone.
#[utoipa::path(
    post, path = "/api/v3/providers/oauth2/", operation_id = "providers_oauth2_create", tag = "providers",
    request_body = OAuth2ProviderRequest, responses((status = 201, body = OAuth2Provider, description = "The new client."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let body = Body::of(&mut call).await?;
    let change = fields::read(body, None, &app.config.oidc.plain_hosts.0)?;
    let (part, secret) = client_parts::add(&app, by(&call), change).await.map_err(refusal)?;
    Ok(created(&OAuth2Provider::new(&part, None, secret.as_ref().map(PlainSecret::expose))))
}

/// Changes a client. A secret that is set is the only one from then on, and is in this answer alone.
#[utoipa::path(
    put, path = "/api/v3/providers/oauth2/{id}/", operation_id = "providers_oauth2_update", tag = "providers",
    params(("id" = i64, Path)), request_body = OAuth2ProviderRequest,
    responses((status = 200, body = OAuth2Provider, description = "The client, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    let id = id_of(&call)?;
    let mut before = app.store.read().find_client(id).await?.ok_or(ApiError::Missing)?;
    let body = Body::of(&mut call).await?;
    let mut tries = TRIES;
    let (_, secret) = loop {
        let change = fields::read(body.clone(), Some(&before), &app.config.oidc.plain_hosts.0)?;
        let change = ClientChange { expected: Some(before), ..change };
        match client_parts::change(&app, by(&call), id, change).await {
            Err(ActionError::Outdated) if tries > 0 => tries -= 1,
            done => break done.map_err(refusal)?,
        }
        before = app.store.read().find_client(id).await?.ok_or(ApiError::Missing)?;
    };
    Ok(ok(&shown(&app, &call, id, secret.as_ref().map(PlainSecret::expose)).await?))
}

/// Changes the fields of a client that are sent.
#[utoipa::path(
    patch, path = "/api/v3/providers/oauth2/{id}/", operation_id = "providers_oauth2_partial_update", tag = "providers",
    params(("id" = i64, Path)), request_body = PatchedOAuth2ProviderRequest,
    responses((status = 200, body = OAuth2Provider, description = "The client, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

/// Removes a client; the app sessions of its application end, and its tokens are refused.
#[utoipa::path(
    delete, path = "/api/v3/providers/oauth2/{id}/", operation_id = "providers_oauth2_destroy", tag = "providers",
    params(("id" = i64, Path)), responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    client_parts::remove(&app, by(&call), id_of(&call)?).await.map_err(refusal)?;
    Ok(done())
}

/// Shows what an app is told of its client.
#[utoipa::path(
    get, path = "/api/v3/providers/oauth2/{id}/setup_urls/", operation_id = "providers_oauth2_setup_urls_retrieve",
    tag = "providers",
    params(("id" = i64, Path)), responses((status = 200, body = OAuth2ProviderSetupURLs, description = "Its addresses."))
)]
pub(crate) async fn setup_urls(app: App, call: Call) -> Answer {
    let id = id_of(&call)?;
    let all = app.store.applications().await?;
    let (_, application) = all.client_parts().into_iter().find(|(part, _)| part.id == id).ok_or(ApiError::Missing)?;
    Ok(ok(&OAuth2ProviderSetupURLs::new(app.config.issuer_url(), application.map(AsRef::as_ref))))
}

/// Lists what refers to a client.
#[utoipa::path(
    get, path = "/api/v3/providers/oauth2/{id}/used_by/", operation_id = "providers_oauth2_used_by_list", tag = "providers",
    params(("id" = i64, Path)), responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    shown(&app, &call, id_of(&call)?, None).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}

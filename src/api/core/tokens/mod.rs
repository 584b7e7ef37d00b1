//! `/api/v3/core/tokens/`: API credentials and app passwords. Everybody has their own; administrators see and
//! make all.

pub mod fields;
pub mod table;
pub mod wire;

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::tokens::{self, change, keys};
use crate::actions::{ActionError, tokens::TokenRequest as Wish};
use crate::api::body::{Body, TRIES};
use crate::api::core::tokens::table::{TOKENS, TokenListParameters, filter, orders};
use crate::api::core::tokens::wire::{PatchedTokenRequest, Token, TokenPage, TokenRequest, TokenSetKeyRequest, TokenView};
use crate::api::core::wire::UsedBy;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, created, done, ok};
use crate::api::error::{ApiError, sentence};
use crate::api::list::{Empty, Pagination};
use crate::api::small_list::refuse_choices;
use crate::domain::PlainSecret;
use crate::store::people::token_list::TokenDetail;

const ABOUT: &str = "API credentials and app passwords";
const KIND: &str = "Token";
/// 404: the key of a token that is not readable any more.
const NOT_READABLE: &str = "The key of this token cannot be read any more: it is stored as a hash. Keys of tokens that are made \
    through the API can be read for five minutes; with the setting api.readable_secrets they stay readable.";

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Token List", ABOUT).on(Method::GET, list).on(Method::POST, create).route()
}

/// One token's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Token Instance", ABOUT).of(KIND).on(Method::GET, retrieve).on(Method::PUT, update);
    endpoint.on(Method::PATCH, partial_update).on(Method::DELETE, destroy).route()
}

/// The address of a token's key.
pub fn item_view_key() -> MethodRouter<App> {
    Endpoint::new("View key", "Return the token's key").of(KIND).on(Method::GET, view_key).route()
}

/// The address that sets a token's key. It is for administrators.
pub fn item_set_key() -> MethodRouter<App> {
    Endpoint::new("Set key", "Set the token's key").of(KIND).needs(administrators).on(Method::POST, set_key).route()
}

/// The address of what refers to a token.
pub fn item_used_by() -> MethodRouter<App> {
    Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND).on(Method::GET, used_by).route()
}

/// The token that the path names, if the caller may know of it.
async fn find(app: &App, call: &Call) -> Result<TokenDetail, ApiError> {
    Ok(tokens::look(app, By::Principal(&call.who, &call.actor), call.part()).await?)
}

async fn show(app: &App, token: &TokenDetail, answer: fn(&Token<'_>) -> axum::response::Response) -> Answer {
    let owner = app.store.read().find_listed_user(token.user_id).await?.ok_or(ApiError::Missing)?;
    let applications = app.store.read().list_token_applications(&token.identifier).await?;
    Ok(answer(&Token::new(token, &owner, &applications)))
}

/// Names the field that an action's rule is about.
fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Exists(what) if what.ends_with("this key") && what.starts_with("a token with") => {
            ApiError::parameter("key", "Token with this key already exists.")
        }
        ActionError::Exists(_) => ApiError::parameter("identifier", "Token with this identifier already exists."),
        other => other.into(),
    }
}

/// Lists tokens: one's own, or everybody's for administrators and auditors. Expired ones are listed, too.
#[utoipa::path(
    get, path = "/api/v3/core/tokens/", operation_id = "core_tokens_list", tag = "core", params(TokenListParameters),
    responses((status = 200, body = TokenPage, description = "A page of tokens."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    refuse_choices(&TOKENS, &call.query)?;
    let request = TOKENS.read(&call.query, app.config.api.strict_query)?;
    let asked = filter(&request.filter, call.who.reads_only());
    let found = app.store.page(&asked, &orders(&request.sorts), request.wanted(call.asked)?).await?;
    let pagination = Pagination::of(&found)?;
    let ids: Vec<i64> = found.rows.iter().map(|token| token.user_id.0).collect();
    let owners = app.store.read().list_listed_users(&ids).await?;
    let tokens: Vec<i64> = found.rows.iter().map(|token| token.id).collect();
    let opened = app.store.read().list_applications_of_tokens(&tokens).await?;
    let mut results = Vec::with_capacity(found.rows.len());
    for token in &found.rows {
        let applications = opened.get(&token.id).map(Vec::as_slice).unwrap_or_default();
        results.extend(owners.get(&token.user_id.0).map(|owner| Token::new(token, owner, applications)));
    }
    Ok(ok(&TokenPage { pagination, results, autocomplete: Empty {} }))
}

/// Makes a token. Its key is not in the answer: `view_key/` shows it.
#[utoipa::path(
    post, path = "/api/v3/core/tokens/", operation_id = "core_tokens_create", tag = "core", request_body = TokenRequest,
    responses((status = 201, body = Token, description = "The new token."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let body = Body::of(&mut call).await?;
    let new = fields::new_token(&app, &call, body).await?;
    let wish = Wish {
        intent: new.intent,
        identifier: new.fields.identifier,
        description: new.fields.description.unwrap_or_default(),
        lives: new.lives,
        key: None,
        scopes: new.fields.scopes.unwrap_or_default(),
        applications: new.fields.applications.unwrap_or_default().into_iter().map(|(id, _)| id).collect(),
        is_readable: true,
    };
    let by = By::Principal(&call.who, &call.actor);
    let (identifier, _) = tokens::add(&app, by, new.user, &new.username, wish).await.map_err(refusal)?;
    show(&app, &tokens::find(&app, by, &identifier).await?, |token| created(token)).await
}

/// Shows one token, without its key.
#[utoipa::path(
    get, path = "/api/v3/core/tokens/{identifier}/", operation_id = "core_tokens_retrieve", tag = "core",
    params(("identifier" = String, Path)), responses((status = 200, body = Token, description = "The token."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    show(&app, &find(&app, &call).await?, |token| ok(token)).await
}

/// Changes a token. What is not sent stays; a token for the API lives for `api.token_lifetime` from now on.
#[utoipa::path(
    put, path = "/api/v3/core/tokens/{identifier}/", operation_id = "core_tokens_update", tag = "core",
    params(("identifier" = String, Path)), request_body = TokenRequest,
    responses((status = 200, body = Token, description = "The token, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    let mut token = tokens::find(&app, By::Principal(&call.who, &call.actor), call.part()).await?;
    let body = Body::of(&mut call).await?;
    let by = By::Principal(&call.who, &call.actor);
    let mut tries = TRIES;
    let identifier = loop {
        let wish = fields::change(&app, &call, body.clone(), &token).await?;
        match change::change(&app, by, &token.identifier, wish).await {
            Err(ActionError::Outdated) if tries > 0 => tries -= 1,
            done => break done.map_err(refusal)?,
        }
        token = tokens::find(&app, by, call.part()).await?;
    };
    show(&app, &tokens::find(&app, by, &identifier).await?, |token| ok(token)).await
}

/// Changes the fields of a token that are sent.
#[utoipa::path(
    patch, path = "/api/v3/core/tokens/{identifier}/", operation_id = "core_tokens_partial_update", tag = "core",
    params(("identifier" = String, Path)), request_body = PatchedTokenRequest,
    responses((status = 200, body = Token, description = "The token, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

/// Removes a token: it opens nothing from now on.
#[utoipa::path(
    delete, path = "/api/v3/core/tokens/{identifier}/", operation_id = "core_tokens_destroy", tag = "core",
    params(("identifier" = String, Path)), responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    tokens::remove(&app, By::Principal(&call.who, &call.actor), call.part()).await?;
    Ok(done())
}

/// Shows the key of a token that was made through the API: for five minutes, or for good with `api.readable_secrets`.
#[utoipa::path(
    get, path = "/api/v3/core/tokens/{identifier}/view_key/", operation_id = "core_tokens_view_key_retrieve", tag = "core",
    params(("identifier" = String, Path)), responses((status = 200, body = TokenView, description = "The key."))
)]
pub(crate) async fn view_key(app: App, call: Call) -> Answer {
    let key = keys::show(&app, By::Principal(&call.who, &call.actor), call.part()).await?;
    let key = key.ok_or(ApiError::NotThere(NOT_READABLE))?;
    Ok(ok(&TokenView { key: key.expose().to_owned() }))
}

/// Sets the key of a token. The one before opens nothing from now on.
#[utoipa::path(
    post, path = "/api/v3/core/tokens/{identifier}/set_key/", operation_id = "core_tokens_set_key_create", tag = "core",
    params(("identifier" = String, Path)), request_body = TokenSetKeyRequest,
    responses((status = 204, description = "It is set."))
)]
pub(crate) async fn set_key(app: App, mut call: Call) -> Answer {
    let mut body = Body::of(&mut call).await?;
    let key = body.field("key").required().untrimmed().text(1_000);
    body.finish()?;
    // `required` refused a body without it.
    let key = key.ok_or(ApiError::Internal)?;
    let by = By::Principal(&call.who, &call.actor);
    keys::set(&app, by, call.part(), PlainSecret::from_text(key)).await.map_err(|error| match error {
        ActionError::Rule(rule) => ApiError::parameter("key", &sentence(&rule)),
        other => refusal(other),
    })?;
    Ok(done())
}

/// Lists what refers to a token.
#[utoipa::path(
    get, path = "/api/v3/core/tokens/{identifier}/used_by/", operation_id = "core_tokens_used_by_list", tag = "core",
    params(("identifier" = String, Path)), responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    find(&app, &call).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}

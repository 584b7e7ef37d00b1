//! `/api/v3/oauth2/refresh_tokens/`: refresh tokens of apps, listed, shown and taken back.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::api::core::wire::UsedBy;
use crate::api::endpoint::{Answer, Call, Endpoint};
use crate::api::oauth2::{TokenModel, TokenModelListParameters, TokenModelPage, one, page, remove, users};

const VIEWSET: &str = "RefreshToken Viewset";
const KIND: &str = "RefreshToken";

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Refresh Token List", VIEWSET).on(Method::GET, list).route()
}

/// One token's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Refresh Token Instance", VIEWSET).of(KIND);
    endpoint.on(Method::GET, retrieve).on(Method::DELETE, destroy).route()
}

/// The address of what refers to a token.
pub fn item_used_by() -> MethodRouter<App> {
    Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND).on(Method::GET, used_by).route()
}

/// Lists refresh tokens of live sessions: one's own, or all for administrators and auditors.
#[utoipa::path(
    get, path = "/api/v3/oauth2/refresh_tokens/", operation_id = "oauth2_refresh_tokens_list", tag = "oauth2",
    params(TokenModelListParameters), responses((status = 200, body = TokenModelPage, description = "A page of tokens."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    page(app, call, true).await
}

/// Shows one token, without what opens anything.
#[utoipa::path(
    get, path = "/api/v3/oauth2/refresh_tokens/{id}/", operation_id = "oauth2_refresh_tokens_retrieve", tag = "oauth2",
    params(("id" = i64, Path)), responses((status = 200, body = TokenModel, description = "The token."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    one(app, call, true).await
}

/// Takes a refresh token back, with those before it and its access tokens.
#[utoipa::path(
    delete, path = "/api/v3/oauth2/refresh_tokens/{id}/", operation_id = "oauth2_refresh_tokens_destroy", tag = "oauth2",
    params(("id" = i64, Path)), responses((status = 204, description = "It opens nothing any more."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    remove(app, call, true).await
}

/// Lists what refers to a token.
#[utoipa::path(
    get, path = "/api/v3/oauth2/refresh_tokens/{id}/used_by/", operation_id = "oauth2_refresh_tokens_used_by_list", tag = "oauth2",
    params(("id" = i64, Path)), responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    users(app, call, true).await
}

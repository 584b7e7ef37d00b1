//! authentik's REST API. The path mirrors the address: `/api/v3/core/authenticated_sessions/` is
//! `api/core/authenticated_sessions.rs`. Only this module speaks authentik's dialect.

pub mod core;
mod django;
pub mod error;
pub mod flows;
pub mod health;
mod negotiate;
pub mod schema;

use axum::http::Method;
use axum::http::request::Parts;

use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::api::error::ApiError;
use crate::auth;
use crate::domain::caller::Actor;
use crate::http::client::ClientInfo;
use crate::http::query::Query;

/// A request that may go on: its form is acceptable and its caller is known.
pub struct Call {
    /// Who calls.
    pub who: Principal,
    /// From where.
    pub actor: Actor,
    /// The method.
    pub method: Method,
    /// The query's parameters.
    pub query: Query,
}

impl Call {
    /// The first steps of every API request, in the order of `docs/compat.md` 2.1: content negotiation, then
    /// credentials with CSRF.
    ///
    /// # Errors
    /// 404 and 406 for a form we do not speak, 403 for a caller who is not known.
    pub async fn admit(app: &App, parts: &Parts) -> Result<Self, ApiError> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        negotiate::check(&query, &parts.headers)?;
        let client = parts.extensions.get::<ClientInfo>().ok_or(ApiError::Internal)?;
        let who = auth::authenticate(app, parts, client).await?;
        let actor = client.as_anonymous().as_user(who.user_id, &who.username);
        Ok(Self { who, actor, method: parts.method.clone(), query })
    }
}

//! `/api/v3/core/users/me/`: who calls.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::{Map, Value};

use crate::actions::app::App;
use crate::api::core::users::KIND;
use crate::api::core::users::wire::{SessionUser, UserSelf, UserSelfGroups};
use crate::api::core::wire::Dashed;
use crate::api::endpoint::{Answer, Call, Endpoint, ok};
use crate::api::error::ApiError;
use crate::api::flows::executor::AVATAR;

/// The address, for anyone signed in.
pub fn address() -> MethodRouter<App> {
    Endpoint::new("Me", "Get information about current user").of(KIND).on(Method::GET, retrieve).route()
}

/// Shows the caller.
#[utoipa::path(
    get, path = "/api/v3/core/users/me/", operation_id = "core_users_me_retrieve", tag = "core",
    responses((status = 200, body = SessionUser, description = "The caller."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let (profile, groups) = app.store.read().find_profile_and_groups(call.who.user_id).await?.ok_or(ApiError::Missing)?;
    let mut attributes: Map<String, Value> = serde_json::from_str(&profile.attributes).unwrap_or_default();
    let settings = match attributes.remove("settings") {
        Some(Value::Object(settings)) => settings,
        _ => Map::new(),
    };
    let user = profile.user;
    let oneself = UserSelf {
        pk: user.id.0,
        username: user.username,
        name: user.name,
        is_active: user.is_active,
        is_superuser: profile.is_administrator,
        is_current: true,
        groups: groups.into_iter().map(|group| UserSelfGroups { name: group.name, pk: Dashed(group.uuid) }).collect(),
        roles: [],
        email: user.email,
        avatar: AVATAR,
        uid: user.uid,
        settings,
        r#type: profile.kind.into(),
        system_permissions: [],
    };
    Ok(ok(&SessionUser { user: &oneself, users: [&oneself] }))
}

//! `/api/v3/authenticators/`: second factors, the caller's own and, for administrators, everybody's.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::api::body::no_such_pk;
use crate::api::django;
use crate::api::django::Int;
use crate::api::endpoint::{Answer, Call, Endpoint, NO_INTEGER, administrators, ok};
use crate::api::error::ApiError;
use crate::domain::factor::FactorKind;
use crate::domain::{Timestamp, UserId};
use crate::store::sign_in::devices::{DeviceKind, DeviceRow};

const ABOUT: &str = "Second factors";

/// A second factor.
#[derive(Serialize, ToSchema)]
pub struct Device {
    verbose_name: &'static str,
    verbose_name_plural: String,
    meta_model_name: &'static str,
    pk: String,
    /// What its owner calls it.
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Whether its owner has shown that it works; until then it proves nothing.
    confirmed: bool,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was added or last used.
    #[schema(value_type = String, format = DateTime)]
    last_updated: Timestamp,
    /// When it last proved something; null: never.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_used: Option<Timestamp>,
    /// Always `""`.
    #[schema(required, value_type = Option<String>)]
    extra_description: &'static str,
    /// Of a passkey the model that it says it is (AAGUID), where that is known; else `""`.
    #[schema(required, value_type = Option<String>)]
    external_id: String,
}

impl From<DeviceRow> for Device {
    fn from(row: DeviceRow) -> Self {
        let (verbose_name, meta_model_name, kind) = match row.kind {
            DeviceKind::Factor(FactorKind::Totp) => {
                ("TOTP Device", "authentik_stages_authenticator_totp.totpdevice", "authentik_stages_authenticator_totp.TOTPDevice")
            }
            DeviceKind::Factor(FactorKind::WebAuthn) => (
                "WebAuthn Device",
                "authentik_stages_authenticator_webauthn.webauthndevice",
                "authentik_stages_authenticator_webauthn.WebAuthnDevice",
            ),
            DeviceKind::RecoveryCodes => (
                "Static Device",
                "authentik_stages_authenticator_static.staticdevice",
                "authentik_stages_authenticator_static.StaticDevice",
            ),
        };
        Self {
            verbose_name,
            verbose_name_plural: format!("{verbose_name}s"),
            meta_model_name,
            pk: row.id.to_string(),
            name: row.name,
            kind,
            confirmed: row.is_confirmed,
            created: row.created_at,
            last_updated: row.last_used_at.map_or(row.created_at, |used| used.max(row.created_at)),
            last_used: row.last_used_at,
            extra_description: "",
            external_id: row.model.map(|model| model.to_string()).unwrap_or_default(),
        }
    }
}

/// The address of the caller's own.
pub fn own() -> MethodRouter<App> {
    Endpoint::new("Device List", ABOUT).on(Method::GET, list).route()
}

/// The address of everybody's. It is for administrators.
pub fn everybodys() -> MethodRouter<App> {
    Endpoint::new("Admin Device List", ABOUT).needs(administrators).on(Method::GET, list_admin).route()
}

/// Lists the caller's second factors.
#[utoipa::path(
    get, path = "/api/v3/authenticators/all/", operation_id = "authenticators_all_list", tag = "authenticators",
    responses((status = 200, body = Vec<Device>, description = "All of them, without pages."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    devices(&app, Some(call.who.user_id)).await
}

/// Lists the second factors of one user, or of all.
#[utoipa::path(
    get, path = "/api/v3/authenticators/admin/all/", operation_id = "authenticators_admin_all_list", tag = "authenticators",
    params(("user" = Option<i64>, Query, description = "The user's primary key; without it everybody's.")),
    responses((status = 200, body = Vec<Device>, description = "All of them, without pages."))
)]
pub(crate) async fn list_admin(app: App, call: Call) -> Answer {
    let Some(text) = call.query.last("user") else { return devices(&app, None).await };
    let user = match django::int(text) {
        None => return Err(ApiError::parameter("user", NO_INTEGER)),
        Some(Int::Fits(id)) => app.store.read().find_user(UserId(id)).await?.map(|user| user.id),
        Some(Int::TooLarge | Int::TooSmall) => None,
    };
    match user {
        Some(user) => devices(&app, Some(user)).await,
        None => Err(ApiError::parameter("user", &no_such_pk(text.trim()))),
    }
}

async fn devices(app: &App, user: Option<UserId>) -> Answer {
    let devices: Vec<Device> = app.store.list_devices(user).await?.into_iter().map(Device::from).collect();
    Ok(ok(&devices))
}

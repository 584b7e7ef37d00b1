//! `/api/v3/stages/user_login/`: the instance's policy in authentik's words. There is one object. It is read
//! from the settings and cannot be changed here.

use std::time::Duration;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::api::core::wire::Dashed;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::flows::instances::{FlowSet, USER_LOGIN_STAGE_PK, sign_in_flow_set};
use crate::api::list::{ListTable, Pagination, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::api::{django, duration};
use crate::config::{KNOWN_DEVICE_LIVES, SessionConfig};
use crate::domain::binding::{GeoipBinding, NetworkBinding};
use crate::domain::filters::{About, Kind};
use crate::domain::policy::AtLimit;

const ABOUT: &str = "How long sessions live";

/// What a session is bound to: a network.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkBindingEnum {
    /// Nothing.
    NoBinding,
    /// The autonomous system.
    BindAsn,
    /// The network, too.
    BindAsnNetwork,
    /// The address, too.
    BindAsnNetworkIp,
}

/// What a session is bound to: a place.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GeoipBindingEnum {
    /// Nothing.
    NoBinding,
    /// The continent.
    BindContinent,
    /// The country, too.
    BindContinentCountry,
    /// The city, too.
    BindContinentCountryCity,
}

/// The instance's policy.
#[derive(Serialize, ToSchema)]
pub struct UserLoginStage {
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    name: &'static str,
    component: &'static str,
    verbose_name: &'static str,
    verbose_name_plural: &'static str,
    meta_model_name: &'static str,
    /// The flow that signs in.
    flow_set: [FlowSet; 1],
    /// `sessions.absolute_timeout`.
    session_duration: String,
    /// Whether a sign-in ends the user's other sessions: `sessions.max_per_user` is 1, and `sessions.at_limit` is
    /// `end_oldest`.
    terminate_other_sessions: bool,
    /// How much longer a session lives whose user asked to stay signed in: `sessions.remember_timeout` less
    /// `sessions.absolute_timeout`; `seconds=0`: users are not asked.
    remember_me_offset: String,
    /// `sessions.network_binding`.
    network_binding: NetworkBindingEnum,
    /// `sessions.geoip_binding`.
    geoip_binding: GeoipBindingEnum,
    /// How long a browser that nobody signs in with stays a known device.
    remember_device: String,
}

/// A page of stages.
#[derive(ToSchema)]
#[schema(as = PaginatedUserLoginStageList)]
#[expect(dead_code, reason = "describes what SmallPage writes")]
pub struct UserLoginStagePage {
    pagination: Pagination,
    results: Vec<UserLoginStage>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    autocomplete: Value,
}

/// How the stage is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages;

const NETWORK_BINDINGS: [&str; 4] = ["no_binding", "bind_asn", "bind_asn_network", "bind_asn_network_ip"];
const GEOIP_BINDINGS: [&str; 4] = ["no_binding", "bind_continent", "bind_continent_country", "bind_continent_country_city"];

#[rustfmt::skip]
impl Fields for Stages {
    const FILTERS: &'static [About] = &[
        about("pk", Kind::Uuid, "The primary key"),
        about("name", Kind::Text, "The name, exactly"),
        about("session_duration", Kind::Text, "The duration of a session, exactly"),
        about("terminate_other_sessions", Kind::Flag, "Whether a sign-in ends the user's other sessions"),
        about("remember_me_offset", Kind::Text, "How much longer remembered sessions live, exactly"),
        about("network_binding", Kind::Choice(|| NETWORK_BINDINGS.to_vec()), "The network binding"),
        about("geoip_binding", Kind::Choice(|| GEOIP_BINDINGS.to_vec()), "The place binding"),
        about("remember_device", Kind::Text, "How long a device is known, exactly"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[("pk", "stage_uuid")];
    const SEARCHED: &'static [&'static str] = &["name"];
    const ORDERS: &'static [&'static str] = &["name", "pk", "session_duration", "network_binding", "geoip_binding"];
}

static STAGES: ListTable<FieldFilter<Stages>, &'static str> =
    small_list::table("Changes nothing: there is one stage.", "Terms, each of which must be part of the name.");

list_parameters!(StageListParameters, STAGES);

impl UserLoginStage {
    fn of(sessions: &SessionConfig) -> Self {
        let offset = sessions.remember_timeout.saturating_sub(sessions.absolute_timeout);
        Self {
            pk: USER_LOGIN_STAGE_PK,
            name: "default-authentication-login",
            component: "ak-stage-user-login-form",
            verbose_name: "User Login Stage",
            verbose_name_plural: "User Login Stages",
            meta_model_name: "authentik_stages_user_login.userloginstage",
            flow_set: [sign_in_flow_set()],
            session_duration: text(sessions.absolute_timeout),
            terminate_other_sessions: sessions.max_per_user == Some(1) && sessions.at_limit == AtLimit::EndOldest,
            remember_me_offset: text(offset),
            network_binding: match sessions.network_binding {
                NetworkBinding::None => NetworkBindingEnum::NoBinding,
                NetworkBinding::Asn => NetworkBindingEnum::BindAsn,
                NetworkBinding::AsnNetwork => NetworkBindingEnum::BindAsnNetwork,
                NetworkBinding::AsnNetworkIp => NetworkBindingEnum::BindAsnNetworkIp,
            },
            geoip_binding: match sessions.geoip_binding {
                GeoipBinding::None => GeoipBindingEnum::NoBinding,
                GeoipBinding::Continent => GeoipBindingEnum::BindContinent,
                GeoipBinding::Country => GeoipBindingEnum::BindContinentCountry,
                GeoipBinding::City => GeoipBindingEnum::BindContinentCountryCity,
            },
            remember_device: text(KNOWN_DEVICE_LIVES),
        }
    }
}

fn text(duration: Duration) -> String {
    duration::format(duration.as_micros())
}

/// The list's address. It is for administrators.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("User Login Stage List", ABOUT).needs(administrators).on(Method::GET, list).route()
}

/// The stage's address. It is for administrators.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("User Login Stage Instance", ABOUT).of("UserLoginStage").needs(administrators);
    endpoint.on(Method::GET, retrieve).route()
}

/// Lists the one stage: the instance's policy.
#[utoipa::path(
    get, path = "/api/v3/stages/user_login/", operation_id = "stages_user_login_list", tag = "stages",
    params(StageListParameters), responses((status = 200, body = UserLoginStagePage, description = "A page with the stage."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let rows = vec![json!(UserLoginStage::of(&app.config.sessions))];
    Ok(ok(&small_list::page(&STAGES, &call.query, app.config.api.strict_query, rows)?))
}

/// Shows the stage: the instance's policy.
#[utoipa::path(
    get, path = "/api/v3/stages/user_login/{stage_uuid}/", operation_id = "stages_user_login_retrieve", tag = "stages",
    params(("stage_uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = UserLoginStage, description = "The stage."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let uuid = django::uuid(call.part()).ok_or(ApiError::NotFound)?;
    if uuid.0 != USER_LOGIN_STAGE_PK.0 {
        return Err(ApiError::Missing);
    }
    Ok(ok(&UserLoginStage::of(&app.config.sessions)))
}

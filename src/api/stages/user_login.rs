//! `/api/v3/stages/user_login/`: the instance's policy in authentik's words. There is one object. What is changed here is
//! stored in the database, and holds where no setting gives it.

use std::time::Duration;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::policies;
use crate::api::body::Body;
use crate::api::core::wire::Dashed;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::flows::instances::{FlowSet, USER_LOGIN_STAGE_PK, sign_in_flow_set};
use crate::api::list::{ListTable, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about, small_pages};
use crate::api::{django, duration};
use crate::config::Config;
use crate::domain::binding::{GeoipBinding, NetworkBinding};
use crate::domain::filters::{About, Kind};
use crate::domain::policy::{AtLimit, StoredLimits};

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
    /// `sign_in.known_device_lifetime`: how long a browser that its user does not sign in with stays known; `seconds=0`:
    /// none is known.
    remember_device: String,
}

/// What may be sent of the stage.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct UserLoginStageRequest {
    /// `default-authentication-login`: there is one stage, and its name stays.
    name: String,
    /// `sessions.absolute_timeout`, in whole seconds, above zero.
    #[schema(nullable = false)]
    session_duration: Option<String>,
    /// True: `sessions.max_per_user` is 1, and `sessions.at_limit` is `end_oldest`.
    #[schema(nullable = false)]
    terminate_other_sessions: Option<bool>,
    /// `sessions.remember_timeout` less `session_duration`, in whole seconds; `seconds=0`: users are not asked.
    #[schema(nullable = false)]
    remember_me_offset: Option<String>,
    /// `sessions.network_binding`.
    #[schema(nullable = false)]
    network_binding: Option<NetworkBindingEnum>,
    /// `sessions.geoip_binding`.
    #[schema(nullable = false)]
    geoip_binding: Option<GeoipBindingEnum>,
    /// `sign_in.known_device_lifetime`, in whole seconds; `seconds=0`: no browser is known.
    #[schema(nullable = false)]
    remember_device: Option<String>,
}

/// What may be sent of the stage, all of it optional.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PatchedUserLoginStageRequest {
    /// As for [`UserLoginStageRequest`].
    #[schema(nullable = false)]
    name: Option<String>,
    /// As for [`UserLoginStageRequest`].
    #[schema(nullable = false)]
    session_duration: Option<String>,
    /// As for [`UserLoginStageRequest`].
    #[schema(nullable = false)]
    terminate_other_sessions: Option<bool>,
    /// As for [`UserLoginStageRequest`].
    #[schema(nullable = false)]
    remember_me_offset: Option<String>,
    /// As for [`UserLoginStageRequest`].
    #[schema(nullable = false)]
    network_binding: Option<NetworkBindingEnum>,
    /// As for [`UserLoginStageRequest`].
    #[schema(nullable = false)]
    geoip_binding: Option<GeoipBindingEnum>,
    /// As for [`UserLoginStageRequest`].
    #[schema(nullable = false)]
    remember_device: Option<String>,
}

small_pages! {
    /// A page of stages.
    UserLoginStagePage of UserLoginStage = PaginatedUserLoginStageList;
}

/// How the stage is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages;

/// The name of the stage.
const NAME: &str = "default-authentication-login";
/// The longest duration text.
const MAX_DURATION: usize = 255;

const NETWORK_BINDINGS: [&str; 4] = ["no_binding", "bind_asn", "bind_asn_network", "bind_asn_network_ip"];
const GEOIP_BINDINGS: [&str; 4] = ["no_binding", "bind_continent", "bind_continent_country", "bind_continent_country_city"];

#[rustfmt::skip]
impl Fields for Stages {
    const FILTERS: &'static [About] = &[
        about("pk", Kind::Uuid, "The primary key"),
        about("name", Kind::Text, "The name, exactly"),
        about("component", Kind::Text, "The component, exactly"),
        about("verbose_name", Kind::Text, "The kind's name, exactly"),
        about("verbose_name_plural", Kind::Text, "The kind's name in the plural, exactly"),
        about("meta_model_name", Kind::Text, "The kind's model, exactly"),
        about("flow_set", Kind::Uuid, "The primary key of a flow that it belongs to"),
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
    fn of(config: &Config, stored: &StoredLimits) -> Self {
        let sessions = config.sessions_with(stored);
        let offset = sessions.remember_timeout.saturating_sub(sessions.absolute_timeout);
        Self {
            pk: USER_LOGIN_STAGE_PK,
            name: NAME,
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
            remember_device: text(config.known_device_lifetime(stored)),
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
    let endpoint = endpoint.on(Method::GET, retrieve).on(Method::PUT, update);
    endpoint.on(Method::PATCH, partial_update).route()
}

/// Lists the one stage: the instance's policy.
#[utoipa::path(
    get, path = "/api/v3/stages/user_login/", operation_id = "stages_user_login_list", tag = "stages",
    params(StageListParameters), responses((status = 200, body = UserLoginStagePage, description = "A page with the stage."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let stored = app.store.read().find_stored_limits().await?;
    let rows = vec![json!(UserLoginStage::of(&app.config, &stored))];
    Ok(ok(&small_list::page(&STAGES, &call.query, app.config.api.strict_query, rows)?))
}

/// Shows the stage: the instance's policy.
#[utoipa::path(
    get, path = "/api/v3/stages/user_login/{stage_uuid}/", operation_id = "stages_user_login_retrieve", tag = "stages",
    params(("stage_uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = UserLoginStage, description = "The stage."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    must_be_the_stage(&call)?;
    show(&app).await
}

async fn show(app: &App) -> Answer {
    let stored = app.store.read().find_stored_limits().await?;
    Ok(ok(&UserLoginStage::of(&app.config, &stored)))
}

fn must_be_the_stage(call: &Call) -> Result<(), ApiError> {
    let uuid = django::uuid(call.part()).ok_or(ApiError::NotFound)?;
    if uuid.0 == USER_LOGIN_STAGE_PK.0 { Ok(()) } else { Err(ApiError::Missing) }
}

/// The duration that a field holds, in whole seconds.
fn duration_of(body: &mut Body, name: &'static str, is_zero_allowed: bool) -> Option<Duration> {
    let text = body.field(name).text(MAX_DURATION)?;
    let Some(micros) = duration::parse(&text) else {
        body.wrong(name, duration::no_duration(&text));
        return None;
    };
    match u64::try_from(micros) {
        Ok(micros) if micros % 1_000_000 == 0 && (micros > 0 || is_zero_allowed) => Some(Duration::from_micros(micros)),
        _ => {
            let least = if is_zero_allowed { "0" } else { "1" };
            body.wrong(name, format!("Enter a whole number of seconds, {least} or more."));
            None
        }
    }
}

/// Reads a change of the stage: the limits to store in place of `stored`.
fn read_limits(app: &App, mut body: Body, stored: StoredLimits) -> Result<StoredLimits, ApiError> {
    let now = app.config.sessions_with(&stored);
    if let Some(name) = body.field("name").required().text(MAX_DURATION)
        && name != NAME
    {
        body.wrong("name", format!("There is one stage, and its name is {NAME}."));
    }
    let is_one = |most: Option<u32>, outcome: AtLimit| most == Some(1) && outcome == AtLimit::EndOldest;
    let duration = duration_of(&mut body, "session_duration", false).filter(|duration| *duration != now.absolute_timeout);
    let offset = duration_of(&mut body, "remember_me_offset", true);
    let terminates = body.field("terminate_other_sessions").boolean();
    let terminates = terminates.filter(|terminates| *terminates != is_one(now.max_per_user, now.at_limit));
    let network = body.field("network_binding").choice(NetworkBinding::parse).filter(|it| *it != now.network_binding);
    let geoip = body.field("geoip_binding").choice(GeoipBinding::parse).filter(|it| *it != now.geoip_binding);
    let known_for = app.config.known_device_lifetime(&stored);
    let device = duration_of(&mut body, "remember_device", true).filter(|it| *it != known_for);
    let absolute = duration.unwrap_or(now.absolute_timeout);
    let is_asked = !now.remember_timeout.is_zero();
    let old_offset = if is_asked { now.remember_timeout.saturating_sub(now.absolute_timeout) } else { Duration::ZERO };
    // Users who are asked stay asked when the duration alone changes.
    let remember = match offset {
        Some(offset) if offset.is_zero() => Duration::ZERO,
        Some(offset) => absolute + offset,
        None if is_asked && !old_offset.is_zero() => absolute + old_offset,
        None => now.remember_timeout,
    };
    let is_remember_changed = remember != now.remember_timeout && (offset.is_some() || duration.is_some());
    for (field, path, is_changed) in [
        ("session_duration", "sessions.absolute_timeout", duration.is_some()),
        ("remember_me_offset", "sessions.remember_timeout", is_remember_changed && offset.is_some_and(|it| it != old_offset)),
        ("terminate_other_sessions", "sessions.max_per_user", terminates.is_some()),
        ("terminate_other_sessions", "sessions.at_limit", terminates == Some(true) && now.at_limit != AtLimit::EndOldest),
        ("network_binding", "sessions.network_binding", network.is_some()),
        ("geoip_binding", "sessions.geoip_binding", geoip.is_some()),
        ("remember_device", "sign_in.known_device_lifetime", device.is_some()),
    ] {
        if let Some(source) = app.config.source_of(path).filter(|_| is_changed && !body.is_wrong(field)) {
            body.wrong(field, format!("`{path}` is set by {source}, which is stronger."));
        }
    }
    body.finish()?;
    let is_free = |path: &str| app.config.source_of(path).is_none();
    Ok(StoredLimits {
        absolute_timeout: duration.or(stored.absolute_timeout),
        remember_timeout: Some(remember)
            .filter(|_| is_remember_changed && is_free("sessions.remember_timeout"))
            .or(stored.remember_timeout),
        max_sessions: terminates.map(u32::from).or(stored.max_sessions),
        at_limit: terminates.filter(|it| *it).map(|_| AtLimit::EndOldest).or(stored.at_limit),
        network_binding: network.or(stored.network_binding),
        geoip_binding: geoip.or(stored.geoip_binding),
        known_device_lifetime: device.or(stored.known_device_lifetime),
        ..stored
    })
}

/// Changes the stage. What is set holds from then on, also for living sessions, which are cut and never extended.
#[utoipa::path(
    put, path = "/api/v3/stages/user_login/{stage_uuid}/", operation_id = "stages_user_login_update", tag = "stages",
    params(("stage_uuid" = String, Path, format = Uuid)), request_body = UserLoginStageRequest,
    responses((status = 200, body = UserLoginStage, description = "The stage, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    must_be_the_stage(&call)?;
    let body = Body::of(&mut call).await?;
    let stored = app.store.read().find_stored_limits().await?;
    let limits = read_limits(&app, body, stored)?;
    let by = By::Principal(&call.who, &call.actor);
    match policies::set_instance(&app, by, limits, Some(stored)).await {
        Err(ActionError::Given(path, source)) => {
            let field = match path {
                "sessions.absolute_timeout" => "session_duration",
                "sessions.remember_timeout" => "remember_me_offset",
                "sessions.network_binding" => "network_binding",
                "sessions.geoip_binding" => "geoip_binding",
                "sign_in.known_device_lifetime" => "remember_device",
                _ => "terminate_other_sessions",
            };
            return Err(ApiError::parameter(field, &format!("`{path}` is set by {source}, which is stronger.")));
        }
        other => other?,
    };
    show(&app).await
}

/// Changes the fields of the stage that are sent.
#[utoipa::path(
    patch, path = "/api/v3/stages/user_login/{stage_uuid}/", operation_id = "stages_user_login_partial_update", tag = "stages",
    params(("stage_uuid" = String, Path, format = Uuid)), request_body = PatchedUserLoginStageRequest,
    responses((status = 200, body = UserLoginStage, description = "The stage, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

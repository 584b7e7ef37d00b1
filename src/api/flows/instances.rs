//! `/api/v3/flows/instances/`: the flows there are, signing in and signing out, and those that providers name. They cannot be
//! changed, and only the first two can be run.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::uuid;

use crate::actions::app::App;
use crate::api::core::brands::ThemedUrls;
use crate::api::core::wire::Dashed;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::flows::{SIGN_IN, SIGN_OUT};
use crate::api::list::{ListTable, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about, small_pages};
use crate::domain::filters::{About, Kind};

/// The primary keys of the two flows that can be run: the same everywhere and for ever.
const SIGN_IN_PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-7369676e2d69"));
const SIGN_OUT_PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-7369676e2d6f"));
/// The primary keys of flows that providers name; they cannot be run.
pub const IMPLICIT_CONSENT_PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-696d706c6963"));
/// The flow that asks for consent each time.
pub const EXPLICIT_CONSENT_PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-6578706c6963"));
/// The flow that signs out of a provider.
pub const INVALIDATION_PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-696e76616c69"));
/// The primary key of the stage that decides how long a session lives.
pub const USER_LOGIN_STAGE_PK: Dashed = Dashed(uuid!("6f6c6c63-616c-4c00-8000-757365726c67"));

const ABOUT: &str = "The flows that people run";

/// A flow: what people go through to sign in or out.
#[derive(Serialize, ToSchema)]
pub struct Flow {
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    #[schema(value_type = String, format = Uuid)]
    policybindingmodel_ptr_id: Dashed,
    name: &'static str,
    /// What names it in addresses.
    slug: &'static str,
    /// What its pages say at their top.
    title: &'static str,
    designation: FlowDesignationEnum,
    /// Always `""`.
    background: &'static str,
    /// Always `""`.
    background_url: &'static str,
    /// Always null.
    #[schema(required)]
    background_themed_urls: Option<ThemedUrls>,
    /// The stages that can be changed.
    #[schema(value_type = Vec<String>)]
    stages: Vec<Dashed>,
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    policies: Vec<Dashed>,
    /// Always 0.
    cache_count: i64,
    policy_engine_mode: PolicyEngineMode,
    /// Always false.
    compatibility_mode: bool,
    /// Always `""`: flows are not exported.
    export_url: &'static str,
    layout: FlowLayoutEnum,
    denied_action: DeniedActionEnum,
    authentication: AuthenticationEnum,
}

small_pages! {
    /// A page of flows.
    FlowPage of Flow = PaginatedFlowList;
}

/// A flow as other objects name it.
#[derive(Serialize, ToSchema)]
pub struct FlowSet {
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    #[schema(value_type = String, format = Uuid)]
    policybindingmodel_ptr_id: Dashed,
    name: &'static str,
    slug: &'static str,
    title: &'static str,
    designation: FlowDesignationEnum,
    background_url: &'static str,
    policy_engine_mode: PolicyEngineMode,
    compatibility_mode: bool,
    export_url: &'static str,
    layout: FlowLayoutEnum,
    denied_action: DeniedActionEnum,
}

/// Words of authentik, of which a few are used here.
macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident { $($word:ident),+ $(,)? })+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the words are authentik's")]
        pub enum $name { $($word),+ }
    )+};
}

words! {
    /// What a flow is for.
    FlowDesignationEnum { Authentication, Authorization, Invalidation, Enrollment, Unenrollment, Recovery, StageConfiguration }
    /// Which policies must pass.
    PolicyEngineMode { All, Any }
    /// How a flow's pages are laid out.
    FlowLayoutEnum { Stacked, ContentLeft, ContentRight, SidebarLeft, SidebarRight }
    /// What a flow does when it refuses.
    DeniedActionEnum { MessageContinue, Message, Continue }
    /// Who may run a flow.
    AuthenticationEnum { None, RequireAuthenticated, RequireUnauthenticated, RequireSuperuser, RequireRedirect, RequireOutpost, RequireToken }
}

const DESIGNATIONS: [&str; 7] =
    ["authentication", "authorization", "invalidation", "enrollment", "unenrollment", "recovery", "stage_configuration"];
const DENIED_ACTIONS: [&str; 3] = ["message_continue", "message", "continue"];

/// How flows are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flows;

impl Fields for Flows {
    const FILTERS: &'static [About] = &[
        about("pk", Kind::Uuid, "The primary key"),
        about("name", Kind::Text, "The name, exactly"),
        about("slug", Kind::Text, "The slug, exactly"),
        about("designation", Kind::Choice(|| DESIGNATIONS.to_vec()), "What it is for"),
        about("denied_action", Kind::Choice(|| DENIED_ACTIONS.to_vec()), "What it does when it refuses"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[("pk", "flow_uuid")];
    const SEARCHED: &'static [&'static str] = &["name", "slug", "designation", "title"];
    const ORDERS: &'static [&'static str] =
        &["slug", "pk", "name", "title", "designation", "denied_action", "layout", "authentication"];
}

static FLOWS: ListTable<FieldFilter<Flows>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `slug`, `pk`, `name`, `title`, `designation`, `denied_action`, \
     `layout`, `authentication`. Without any that is known: by `slug`.",
    "Terms, each of which must be part of the name, the slug, the designation or the title.",
);

list_parameters!(FlowListParameters, FLOWS);

/// The flows there are.
fn flows() -> [Flow; 5] {
    let flow = |pk, slug, name, title, designation, stages| Flow {
        pk,
        policybindingmodel_ptr_id: pk,
        name,
        slug,
        title,
        designation,
        background: "",
        background_url: "",
        background_themed_urls: None,
        stages,
        policies: Vec::new(),
        cache_count: 0,
        policy_engine_mode: PolicyEngineMode::Any,
        compatibility_mode: false,
        export_url: "",
        layout: FlowLayoutEnum::Stacked,
        denied_action: DeniedActionEnum::MessageContinue,
        authentication: AuthenticationEnum::None,
    };
    [
        flow(
            SIGN_IN_PK,
            SIGN_IN,
            "Sign in",
            "Welcome to Rollcall!",
            FlowDesignationEnum::Authentication,
            vec![USER_LOGIN_STAGE_PK],
        ),
        flow(SIGN_OUT_PK, SIGN_OUT, "Sign out", "Sign out of Rollcall?", FlowDesignationEnum::Invalidation, Vec::new()),
        flow(
            IMPLICIT_CONSENT_PK,
            "default-provider-authorization-implicit-consent",
            "Authorize without asking",
            "Redirecting",
            FlowDesignationEnum::Authorization,
            Vec::new(),
        ),
        flow(
            EXPLICIT_CONSENT_PK,
            "default-provider-authorization-explicit-consent",
            "Authorize after asking",
            "Redirecting",
            FlowDesignationEnum::Authorization,
            Vec::new(),
        ),
        flow(
            INVALIDATION_PK,
            "default-provider-invalidation-flow",
            "Sign out of an application",
            "You have signed out of the application",
            FlowDesignationEnum::Invalidation,
            Vec::new(),
        ),
    ]
}

/// The flow that signs in, as other objects name it.
#[must_use]
pub fn sign_in_flow_set() -> FlowSet {
    let [flow, ..] = flows();
    FlowSet {
        pk: flow.pk,
        policybindingmodel_ptr_id: flow.policybindingmodel_ptr_id,
        name: flow.name,
        slug: flow.slug,
        title: flow.title,
        designation: flow.designation,
        background_url: flow.background_url,
        policy_engine_mode: flow.policy_engine_mode,
        compatibility_mode: flow.compatibility_mode,
        export_url: flow.export_url,
        layout: flow.layout,
        denied_action: flow.denied_action,
    }
}

/// The list's address. It is for administrators.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Flow List", ABOUT).needs(administrators).on(Method::GET, list).route()
}

/// One flow's address.
pub fn item() -> MethodRouter<App> {
    Endpoint::new("Flow Instance", ABOUT).of("Flow").needs(administrators).on(Method::GET, retrieve).route()
}

/// Lists flows.
#[utoipa::path(
    get, path = "/api/v3/flows/instances/", operation_id = "flows_instances_list", tag = "flows",
    params(FlowListParameters), responses((status = 200, body = FlowPage, description = "A page of flows."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let rows = flows().iter().map(|flow| json!(flow)).collect();
    Ok(ok(&small_list::page(&FLOWS, &call.query, app.config.api.strict_query, rows)?))
}

/// Shows one flow.
#[utoipa::path(
    get, path = "/api/v3/flows/instances/{slug}/", operation_id = "flows_instances_retrieve", tag = "flows",
    params(("slug" = String, Path)), responses((status = 200, body = Flow, description = "The flow."))
)]
pub(crate) async fn retrieve(_: App, call: Call) -> Answer {
    let flow = flows().into_iter().find(|flow| flow.slug == call.part()).ok_or(ApiError::Missing)?;
    Ok(ok(&flow))
}

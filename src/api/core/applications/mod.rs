//! `/api/v3/core/applications/`: what people open. The list is for everyone: what they may open.

pub mod opened;
pub mod wire;

use std::sync::Arc;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::json;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::{self, ApplicationChange, access};
use crate::actions::by::By;
use crate::api::body::{Body, TRIES, no_such_pk};
use crate::api::core::applications::wire::{
    Application, ApplicationPage, ApplicationRequest, PatchedApplicationRequest, PolicyTestResult,
};
use crate::api::core::wire::UsedBy;
use crate::api::django::{self, Int};
use crate::api::endpoint::{Answer, Call, Endpoint, NO_INTEGER, administrators, created, done, ok};
use crate::api::error::{ApiError, sentence};
use crate::api::list::{ListTable, list_parameters};
use crate::api::providers::wire::intercepts;
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::UserId;
use crate::domain::application::demand::{Allow, Demand};
use crate::domain::application::{Application as Stored, ApplicationRule, MAX_NAME_LENGTH, MAX_SLUG_LENGTH};
use crate::domain::filters::{About, Kind};

/// Of which kind an application is, in authentik's words.
const KIND: &str = "Application";
const VIEWSET: &str = "Application Viewset";
const TAKEN: &str = "Application with this slug already exists.";
/// The longest text that is read; the rules of applications are stricter.
const MAX_TEXT: usize = 10_000;

/// How applications are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("name", Kind::Text, "The name, exactly"),
        about("slug", Kind::Text, "The slug, exactly"),
        about("group", Kind::Text, "The heading, exactly"),
        about("meta_description", Kind::Text, "The description, exactly"),
        about("meta_publisher", Kind::Text, "The publisher, exactly"),
        about("meta_launch_url", Kind::Text, "The address it is opened at, exactly"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &["name", "slug", "group", "meta_description", "meta_publisher", "meta_launch_url"];
    const ORDERS: &'static [&'static str] = &["name", "slug", "group"];
}

static APPLICATIONS: ListTable<FieldFilter<Listed>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `name`, `slug`, `group`. Without any that is known: by `name`.",
    "Terms, each of which must be part of the name, the slug, the heading, the description, the publisher or the address.",
);

list_parameters!(ApplicationListParameters, APPLICATIONS);

/// Parameters of the list's address alone.
const OWN: [&str; 3] = ["superuser_full_list", "for_user", "only_with_launch_url"];

/// The list's address. Adding is for administrators.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Application List", VIEWSET).needs(|call| match *call.method() {
        Method::POST => administrators(call),
        _ => Ok(()),
    });
    endpoint.on(Method::GET, list).on(Method::POST, create).route()
}

/// One application's address, for administrators.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Application Instance", VIEWSET).of(KIND).needs(administrators).on(Method::GET, retrieve);
    endpoint.on(Method::PUT, update).on(Method::PATCH, partial_update).on(Method::DELETE, destroy).route()
}

/// The address that tells whether somebody may open an application.
pub fn item_check_access() -> MethodRouter<App> {
    Endpoint::new("Check access", "Check access to a single application by slug").of(KIND).on(Method::GET, check_access).route()
}

/// The address of what refers to an application.
pub fn item_used_by() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND);
    endpoint.needs(administrators).on(Method::GET, used_by).route()
}

fn by(call: &Call) -> By<'_> {
    By::Principal(&call.who, &call.actor)
}

/// The user of `for_user`, or the caller.
async fn for_user(app: &App, call: &Call) -> Result<UserId, ApiError> {
    let Some(text) = call.query.last("for_user").filter(|text| !text.is_empty()) else { return Ok(call.who.user_id) };
    let Some(Int::Fits(id)) = django::int(text) else { return Err(ApiError::parameter("for_user", NO_INTEGER)) };
    by(call).must_own_or_inspect(UserId(id))?;
    match app.store.read().find_user(UserId(id)).await? {
        Some(user) => Ok(user.id),
        None => Err(ApiError::parameter("for_user", "User not found")),
    }
}

/// Lists the applications that the caller may open; for administrators all, with `superuser_full_list`.
#[utoipa::path(
    get, path = "/api/v3/core/applications/", operation_id = "core_applications_list", tag = "core",
    params(
        ApplicationListParameters,
        ("superuser_full_list" = Option<bool>, Query, description = "All applications; for administrators."),
        ("for_user" = Option<i64>, Query, description = "What this user may open; for administrators."),
        ("only_with_launch_url" = Option<bool>, Query, description = "Only those that can be opened at an address.")
    ),
    responses((status = 200, body = ApplicationPage, description = "A page of applications."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let is_asked = |name: &str| call.query.last(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let shown: Vec<Arc<Stored>> = if is_asked("superuser_full_list") && call.who.rights.may_inspect() {
        app.store.applications().await?.all().to_vec()
    } else {
        access::list_allowed(&app, by(&call), for_user(&app, &call).await?).await?
    };
    let is_shown = |stored: &&Arc<Stored>| !is_asked("only_with_launch_url") || stored.launch_url().is_some();
    let rows = shown.iter().filter(is_shown).map(|stored| json!(Application::new(stored))).collect();
    Ok(ok(&small_list::page_with(&APPLICATIONS, &call.query, app.config.api.strict_query, &OWN, rows)?))
}

async fn find(app: &App, call: &Call) -> Result<Arc<Stored>, ApiError> {
    app.store.applications().await?.by_slug(call.part()).cloned().ok_or(ApiError::Missing)
}

/// Shows one application.
#[utoipa::path(
    get, path = "/api/v3/core/applications/{slug}/", operation_id = "core_applications_retrieve", tag = "core",
    params(("slug" = String, Path)), responses((status = 200, body = Application, description = "The application."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    Ok(ok(&Application::new(&*find(&app, &call).await?)))
}

/// Reads all fields of an application. With `before`, these are changes of that one.
async fn read_fields(app: &App, mut body: Body, before: Option<&Stored>) -> Result<ApplicationChange, ApiError> {
    let mut change =
        ApplicationChange { name: body.field("name").required().text(MAX_NAME_LENGTH), ..ApplicationChange::default() };
    change.slug = body.field("slug").required().slug(MAX_SLUG_LENGTH);
    if let Some(slug) = &change.slug {
        let all = app.store.applications().await?;
        if all.by_slug(slug).is_some_and(|other| before.is_none_or(|before| before.id != other.id)) {
            body.wrong("slug", TAKEN);
        }
    }
    change.provider = body.field("provider").value_or_null(|value| match value.as_i64() {
        Some(id) => Ok(id),
        None => Err(NO_INTEGER.to_owned()),
    });
    if body.field("backchannel_providers").keys().is_some_and(|keys| !keys.is_empty()) {
        body.wrong("backchannel_providers", "Rollcall has no backchannel providers.");
    }
    if body.field("policy_engine_mode").text(MAX_TEXT).is_some_and(|mode| mode != "any") {
        body.wrong("policy_engine_mode", "Rollcall knows the mode any only: one binding must match.");
    }
    let mut display = before.map(|before| before.display.clone()).unwrap_or_default();
    let texts = [
        ("group", &mut display.group),
        ("meta_launch_url", &mut display.launch_url),
        ("meta_icon", &mut display.icon),
        ("meta_description", &mut display.description),
        ("meta_publisher", &mut display.publisher),
    ];
    for (name, shown) in texts {
        if let Some(text) = body.field(name).or_blank().text(MAX_TEXT) {
            *shown = text;
        }
    }
    display.open_in_new_tab = body.field("open_in_new_tab").boolean().unwrap_or(display.open_in_new_tab);
    display.is_hidden = body.field("meta_hide").boolean().unwrap_or(display.is_hidden);
    change.display = Some(display);
    change.access =
        body.field("rollcall_access").value(|value| serde_json::from_value(value.clone()).map_err(|error| error.to_string()));
    body.finish()?;
    // authentik keeps on the provider whether app passwords are accepted; here the application's demand says it.
    if let Some(Some(id)) = change.provider
        && before.and_then(|before| before.provider.as_ref()).is_none_or(|provider| provider.id != id)
        && let Some(provider) = app.store.read().find_guard(id).await?
        && intercepts(&provider, None)
    {
        let own = || before.map_or_else(open_for_all, |before| before.access.clone());
        change.access = Some(Demand { app_passwords: true, ..change.access.take().unwrap_or_else(own) });
    }
    Ok(change)
}

/// The demand of an application that authentik's API makes: everybody who is signed in, until its first binding.
fn open_for_all() -> Demand {
    Demand { allow: Allow::SignedIn, ..Demand::default() }
}

/// What an action on an application refused, in authentik's words.
fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Exists(_) => ApiError::parameter("slug", TAKEN),
        ActionError::Application(rule) => ApiError::parameter(field_of(&rule), &refused(&rule)),
        other => other.into(),
    }
}

fn refused(rule: &ApplicationRule) -> String {
    match rule {
        ApplicationRule::NoProvider(id) => no_such_pk(id),
        ApplicationRule::ProviderTaken => "Application with this provider already exists.".to_owned(),
        rule => sentence(rule),
    }
}

/// The field that a rule is about.
fn field_of(rule: &ApplicationRule) -> &'static str {
    match rule {
        ApplicationRule::Slug => "slug",
        ApplicationRule::NameLength | ApplicationRule::Name(_) => "name",
        ApplicationRule::NoProvider(_) | ApplicationRule::ProviderTaken | ApplicationRule::GuardExists => "provider",
        ApplicationRule::Address("launch_url") | ApplicationRule::Shown("launch_url") => "meta_launch_url",
        ApplicationRule::Address(_) | ApplicationRule::Shown("icon") => "meta_icon",
        ApplicationRule::Shown("description") => "meta_description",
        ApplicationRule::Shown("publisher") => "meta_publisher",
        ApplicationRule::Shown(_) => "group",
        ApplicationRule::AnyoneIsForRules
        | ApplicationRule::ManyAllowed
        | ApplicationRule::ManyNetworks
        | ApplicationRule::MaxAge
        | ApplicationRule::Country(_) => "rollcall_access",
        _ => crate::api::error::NON_FIELD_ERRORS,
    }
}

/// Adds an application. It opens for everybody who is signed in, until its first binding.
#[utoipa::path(
    post, path = "/api/v3/core/applications/", operation_id = "core_applications_create", tag = "core",
    request_body = ApplicationRequest, responses((status = 201, body = Application, description = "The new application."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let body = Body::of(&mut call).await?;
    let mut wanted = read_fields(&app, body, None).await?;
    wanted.access.get_or_insert_with(open_for_all);
    let added = applications::add(&app, by(&call), wanted).await.map_err(refusal)?;
    Ok(created(&Application::new(&added)))
}

/// Changes an application.
#[utoipa::path(
    put, path = "/api/v3/core/applications/{slug}/", operation_id = "core_applications_update", tag = "core",
    params(("slug" = String, Path)), request_body = ApplicationRequest,
    responses((status = 200, body = Application, description = "The application, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    let mut before = find(&app, &call).await?;
    let body = Body::of(&mut call).await?;
    let mut tries = TRIES;
    loop {
        let wanted = read_fields(&app, body.clone(), Some(&before)).await?;
        let wanted = ApplicationChange { expected: Some(before.version()), ..wanted };
        match applications::change(&app, by(&call), &before.slug, wanted).await {
            Err(ActionError::Outdated) if tries > 0 => tries -= 1,
            done => return Ok(ok(&Application::new(&done.map_err(refusal)?))),
        }
        before = find(&app, &call).await?;
    }
}

/// Changes the fields of an application that are sent.
#[utoipa::path(
    patch, path = "/api/v3/core/applications/{slug}/", operation_id = "core_applications_partial_update", tag = "core",
    params(("slug" = String, Path)), request_body = PatchedApplicationRequest,
    responses((status = 200, body = Application, description = "The application, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

/// Removes an application; its provider stays.
#[utoipa::path(
    delete, path = "/api/v3/core/applications/{slug}/", operation_id = "core_applications_destroy", tag = "core",
    params(("slug" = String, Path)), responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    applications::remove_and_keep_parts(&app, by(&call), call.part()).await.map_err(refusal)?;
    Ok(done())
}

/// Tells whether the caller, or `for_user`, may open an application.
#[utoipa::path(
    get, path = "/api/v3/core/applications/{slug}/check_access/", operation_id = "core_applications_check_access_retrieve",
    tag = "core",
    params(("slug" = String, Path), ("for_user" = Option<i64>, Query, description = "Another user; for administrators.")),
    responses((status = 200, body = PolicyTestResult, description = "Whether they may, and what is missing."))
)]
pub(crate) async fn check_access(app: App, call: Call) -> Answer {
    let user = for_user(&app, &call).await?;
    let decision = access::check(&app, by(&call), call.part(), user).await?;
    let messages = decision.missing().iter().map(|missing| sentence(missing)).collect();
    Ok(ok(&PolicyTestResult { passing: decision.is_met(), messages, log_messages: [] }))
}

/// Lists what refers to an application.
#[utoipa::path(
    get, path = "/api/v3/core/applications/{slug}/used_by/", operation_id = "core_applications_used_by_list", tag = "core",
    params(("slug" = String, Path)), responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    find(&app, &call).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}

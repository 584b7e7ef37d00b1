//! `/api/v3/policies/bindings/`: the users and groups that applications allow.

use std::sync::Arc;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications;
use crate::actions::by::By;
use crate::api::body::{Body, TRIES, no_such_pk};
use crate::api::core::groups::wire::RelatedGroup;
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, NO_INTEGER, administrators, created, done, ok};
use crate::api::error::{ApiError, NON_FIELD_ERRORS, sentence};
use crate::api::list::{ListTable, list_parameters};
use crate::api::policies::wire::{
    Bound, BoundUser, PatchedPolicyBindingRequest, PolicyBinding, PolicyBindingPage, PolicyBindingRequest,
};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::application::demand::{Allow, Party};
use crate::domain::application::{Application, ApplicationRule, BINDING_TIMEOUT, Binding};
use crate::domain::filters::{About, Kind};
use crate::domain::{UserId, secret};

/// Of which kind a binding is, in authentik's words.
const KIND: &str = "PolicyBinding";
const VIEWSET: &str = "PolicyBinding Viewset";

/// How bindings are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("target", Kind::Uuid, "The application's pbm_uuid"),
        about("enabled", Kind::Flag, "Whether it counts"),
        about("order", Kind::Whole, "The order"),
        about("timeout", Kind::Whole, "The timeout"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] = &["order", "pk", "target", "enabled", "timeout"];
}

static BINDINGS: ListTable<FieldFilter<Listed>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `order`, `pk`, `target`, `enabled`, `timeout`. Without any that is \
     known: by `order`.",
    "Changes nothing.",
);

list_parameters!(PolicyBindingListParameters, BINDINGS);

/// The list's address. It is for administrators, as all of these.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Policy Binding List", VIEWSET).needs(administrators);
    endpoint.on(Method::GET, list).on(Method::POST, create).route()
}

/// One binding's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Policy Binding Instance", VIEWSET).of(KIND).needs(administrators).on(Method::GET, retrieve);
    endpoint.on(Method::PUT, update).on(Method::PATCH, partial_update).on(Method::DELETE, destroy).route()
}

/// Bindings in authentik's words. Those whose user or group is gone are left out.
async fn shown(app: &App, bindings: &[(Arc<Application>, Binding)]) -> Result<Vec<Value>, ApiError> {
    let db = app.store.read();
    let mut rows = Vec::with_capacity(bindings.len());
    let groups = bindings.iter().filter_map(|(_, binding)| match binding.party {
        Party::Group(uuid) => Some(uuid),
        Party::User(_) => None,
    });
    let groups = db.list_groups(&groups.collect::<Vec<Uuid>>()).await?;
    for (application, binding) in bindings {
        let bound = match binding.party {
            Party::Group(uuid) => {
                groups.iter().find(|group| group.uuid == uuid).map(|group| Bound::Group(RelatedGroup::new(group)))
            }
            Party::User(uuid) => db.find_user_by_uuid(uuid).await?.map(|user| {
                let shown = BoundUser {
                    pk: user.id.0,
                    username: user.username,
                    name: user.name,
                    email: user.email,
                    is_active: user.is_active,
                    uid: user.uid,
                };
                Bound::User(user.id, shown)
            }),
        };
        if let Some(bound) = bound {
            rows.push(json!(PolicyBinding::new(application, binding, bound)));
        }
    }
    Ok(rows)
}

async fn all(app: &App) -> Result<Vec<(Arc<Application>, Binding)>, ApiError> {
    let applications = app.store.applications().await?;
    let of = |application: &Arc<Application>| {
        application.bindings.iter().map(|binding| (Arc::clone(application), binding.clone())).collect::<Vec<_>>()
    };
    Ok(applications.all().iter().flat_map(of).collect())
}

/// Lists bindings.
#[utoipa::path(
    get, path = "/api/v3/policies/bindings/", operation_id = "policies_bindings_list", tag = "policies",
    params(
        PolicyBindingListParameters,
        ("target_in" = Option<Vec<String>>, Query, description = "One of these applications, by pbm_uuid."),
        ("policy" = Option<String>, Query, description = "A policy; there are none."),
        ("policy__isnull" = Option<bool>, Query, description = "Whether it is for a user or a group; all are.")
    ),
    responses((status = 200, body = PolicyBindingPage, description = "A page of bindings."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let targets: Vec<&str> = call.query.all("target_in").flat_map(|text| text.split(',')).filter(|text| !text.is_empty()).collect();
    let mut wanted = Vec::with_capacity(targets.len());
    for text in &targets {
        wanted.push(django::uuid(text).ok_or_else(|| ApiError::parameter("target_in", "Enter a valid UUID."))?.0);
    }
    let has_policy = call.query.last("policy").is_some_and(|text| !text.is_empty())
        || call.query.last("policy__isnull").is_some_and(|text| text.eq_ignore_ascii_case("false"));
    let mut bindings = if has_policy { Vec::new() } else { all(&app).await? };
    bindings.retain(|(application, _)| wanted.is_empty() || wanted.contains(&application.uuid));
    let own = ["target_in", "policy", "policy__isnull"];
    let rows = shown(&app, &bindings).await?;
    Ok(ok(&small_list::page_with(&BINDINGS, &call.query, app.config.api.strict_query, &own, rows)?))
}

async fn find(app: &App, call: &Call) -> Result<(Arc<Application>, Binding), ApiError> {
    let uuid = django::uuid(call.part()).ok_or(ApiError::NotFound)?.0;
    all(app).await?.into_iter().find(|(_, binding)| binding.uuid == uuid).ok_or(ApiError::Missing)
}

async fn one(app: &App, binding: (Arc<Application>, Binding)) -> Result<Value, ApiError> {
    shown(app, &[binding]).await?.pop().ok_or(ApiError::Missing)
}

/// Shows one binding.
#[utoipa::path(
    get, path = "/api/v3/policies/bindings/{policy_binding_uuid}/", operation_id = "policies_bindings_retrieve", tag = "policies",
    params(("policy_binding_uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = PolicyBinding, description = "The binding."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let binding = find(&app, &call).await?;
    Ok(ok(&one(&app, binding).await?))
}

/// What was read of a binding.
struct Read {
    application: Arc<Application>,
    party: Party,
    order: Option<i64>,
    timeout: Option<i64>,
}

/// Reads the fields of a binding. With `before`, these are changes of that one.
async fn read(app: &App, mut body: Body, before: Option<(Arc<Application>, Binding)>) -> Result<Read, ApiError> {
    let db = app.store.read();
    let target = body.field("target").required().value(|value| {
        let text = value.as_str().unwrap_or_default();
        django::uuid(text).map(|uuid| uuid.0).ok_or_else(|| format!("“{text}” is not a valid UUID."))
    });
    let mut application = before.as_ref().map(|(application, _)| Arc::clone(application));
    if let Some(target) = target {
        let found = app.store.applications().await?.all().iter().find(|application| application.uuid == target).cloned();
        match (&application, found) {
            (_, None) => body.wrong("target", no_such_pk(target.hyphenated())),
            (Some(old), Some(new)) if old.uuid != new.uuid => body.wrong("target", "A binding stays with its target."),
            (_, found) => application = found,
        }
    }
    if body.field("policy").value_or_null(|_| Ok(())).flatten().is_some() {
        body.wrong("policy", "Rollcall has no policies: bind a group or a user.");
    }
    for (name, only) in [("negate", false), ("enabled", true), ("failure_result", false)] {
        if body.field(name).boolean().is_some_and(|flag| flag != only) {
            body.wrong(name, format!("Rollcall knows {only} only."));
        }
    }
    let order = body.field("order").required().integer();
    let timeout = body.field("timeout").integer();
    let group = body.field("group").value_or_null(|value| {
        let text = value.as_str().unwrap_or_default();
        django::uuid(text).map(|uuid| uuid.0).ok_or_else(|| format!("“{text}” is not a valid UUID."))
    });
    let user = body.field("user").value_or_null(|value| value.as_i64().ok_or_else(|| NO_INTEGER.to_owned()));
    let mut party = before.as_ref().map(|(_, binding)| binding.party);
    match (group.flatten(), user.flatten()) {
        (Some(uuid), None) => match db.find_group(uuid).await? {
            Some(_) => party = Some(Party::Group(uuid)),
            None => body.wrong("group", no_such_pk(uuid.hyphenated())),
        },
        (None, Some(id)) => match db.find_user(UserId(id)).await? {
            Some(user) => party = Some(Party::User(user.uuid)),
            None => body.wrong("user", no_such_pk(id)),
        },
        (Some(_), Some(_)) => body.wrong(NON_FIELD_ERRORS, "Only one of 'group', 'user' can be set."),
        (None, None) if party.is_none() => body.wrong(NON_FIELD_ERRORS, "One of 'group', 'user' must be set."),
        (None, None) => {}
    }
    body.finish()?;
    match (application, party) {
        (Some(application), Some(party)) => Ok(Read { application, party, order, timeout }),
        _ => Err(ApiError::Internal),
    }
}

/// What an action refused, in authentik's words.
fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::NotFound => ApiError::Missing,
        ActionError::Application(rule) => ApiError::parameter(NON_FIELD_ERRORS, &sentence(&rule)),
        other => other.into(),
    }
}

/// Adds a binding. The first one of an application takes the place of "everybody who is signed in".
#[utoipa::path(
    post, path = "/api/v3/policies/bindings/", operation_id = "policies_bindings_create", tag = "policies",
    request_body = PolicyBindingRequest, responses((status = 201, body = PolicyBinding, description = "The new binding."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let body = Body::of(&mut call).await?;
    let Read { application, party, order, timeout } = read(&app, body, None).await?;
    let uuid = secret::random_uuid().map_err(ActionError::from)?;
    let binding = Binding { uuid, party, order: order.unwrap_or(0), timeout: timeout.unwrap_or(BINDING_TIMEOUT) };
    let added = binding.clone();
    let edit = applications::edit(&app, by(&call), &application.slug, move |application| {
        let mut parties = application.access.allow.parties().to_vec();
        if parties.contains(&party) {
            return Err(ApplicationRule::BindingExists.into());
        }
        parties.push(party);
        application.access.allow = Allow::those(parties);
        application.bindings.push(added);
        Ok(())
    });
    let application = Arc::new(edit.await.map_err(refusal)?);
    Ok(created(&one(&app, (application, binding)).await?))
}

/// Changes a binding.
#[utoipa::path(
    put, path = "/api/v3/policies/bindings/{policy_binding_uuid}/", operation_id = "policies_bindings_update", tag = "policies",
    params(("policy_binding_uuid" = String, Path, format = Uuid)), request_body = PolicyBindingRequest,
    responses((status = 200, body = PolicyBinding, description = "The binding, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    let (mut application, mut before) = find(&app, &call).await?;
    let body = Body::of(&mut call).await?;
    let mut tries = TRIES;
    loop {
        let read = read(&app, body.clone(), Some((Arc::clone(&application), before.clone()))).await?;
        let after = Binding {
            party: read.party,
            order: read.order.unwrap_or(before.order),
            timeout: read.timeout.unwrap_or(before.timeout),
            uuid: before.uuid,
        };
        match replace(&app, by(&call), &application.slug, before, after.clone()).await {
            Err(ActionError::Outdated) if tries > 0 => tries -= 1,
            done => return Ok(ok(&one(&app, (Arc::new(done.map_err(refusal)?), after)).await?)),
        }
        (application, before) = find(&app, &call).await?;
    }
}

/// Puts a binding in the place of one that was read, and gives the application.
///
/// # Errors
/// [`ActionError::Outdated`] when that one changed since; [`ActionError::NotFound`] when it is gone.
async fn replace(app: &App, by: By<'_>, slug: &str, before: Binding, after: Binding) -> Result<Application, ActionError> {
    let edit = applications::edit(app, by, slug, move |application| {
        if application.bindings.iter().any(|now| now.uuid == before.uuid && *now != before) {
            return Err(ActionError::Outdated);
        }
        let party = after.party;
        let mut parties = application.access.allow.parties().to_vec();
        let place = parties.iter().position(|known| *known == before.party).ok_or(ActionError::NotFound)?;
        if party != before.party && parties.contains(&party) {
            return Err(ApplicationRule::BindingExists.into());
        }
        if let Some(known) = parties.get_mut(place) {
            *known = party;
        }
        application.access.allow = Allow::those(parties);
        application.bindings.retain(|binding| binding.uuid != after.uuid);
        application.bindings.push(after);
        Ok(())
    });
    edit.await
}

fn by(call: &Call) -> By<'_> {
    By::Principal(&call.who, &call.actor)
}

/// Changes the fields of a binding that are sent.
#[utoipa::path(
    patch, path = "/api/v3/policies/bindings/{policy_binding_uuid}/", operation_id = "policies_bindings_partial_update",
    tag = "policies", params(("policy_binding_uuid" = String, Path, format = Uuid)), request_body = PatchedPolicyBindingRequest,
    responses((status = 200, body = PolicyBinding, description = "The binding, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

/// Removes a binding. When an application's last one goes, it opens for nobody.
#[utoipa::path(
    delete, path = "/api/v3/policies/bindings/{policy_binding_uuid}/", operation_id = "policies_bindings_destroy",
    tag = "policies", params(("policy_binding_uuid" = String, Path, format = Uuid)),
    responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    let (application, binding) = find(&app, &call).await?;
    let edit = applications::edit(&app, by(&call), &application.slug, move |application| {
        let parties = application.access.allow.parties().iter().copied().filter(|party| *party != binding.party);
        application.access.allow = Allow::those(parties.collect::<Vec<_>>());
        Ok(())
    });
    edit.await.map_err(refusal)?;
    Ok(done())
}

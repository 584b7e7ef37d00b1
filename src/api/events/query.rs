//! What the parameters of an event list ask for, in the store's words.

use crate::actions::app::App;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::events::actions::{self, APPLICATION, EventActions, GROUP, POLICY, SESSION, TOKEN, USER, filtered_model};
use crate::api::events::wire::BRAND;
use crate::api::list::{ListTable, no_such_choice, parameter};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::filters::{About, Kind};
use crate::domain::listing::Sort;
use crate::domain::{Address, UserId};
use crate::http::query::Query;
use crate::store::events::query::{EventOrder, EventQuery};

/// How events are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Events;

#[rustfmt::skip]
impl Fields for Events {
    const FILTERS: &'static [About] = &[
        about("action", Kind::Text, "A part of the action, letter case aside"),
        about("client_ip", Kind::Text, "The address, exactly; no event has what is no address"),
        about("username", Kind::Text, "The name of who did it, or that a sign-in failed with, exactly"),
        about("context_model_pk", Kind::Text, "The primary key of the object it is about; dashes do not count"),
        about("context_model_name", Kind::Text, "The kind of object it is about, exactly"),
        about("context_model_app", Kind::Text, "The module of that object, exactly"),
        about("context_authorized_app", Kind::Text, "The slug of the application that was opened"),
        about("context_device", Kind::Text, "The device it is about; events name none"),
        about("brand_name", Kind::Text, "The brand; there is one, `Default`"),
        about("created_gte", Kind::Instant, "At this instant or later"),
        about("created_lte", Kind::Instant, "At this instant or earlier"),
        about("created_gt", Kind::Instant, "After this instant"),
        about("created_lt", Kind::Instant, "Before this instant"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[("created_gt", "created__gt"), ("created_lt", "created__lt")];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] =
        &["created", "pk", "event_uuid", "user", "action", "app", "context", "client_ip", "expires", "brand"];
}

/// The list of events.
pub static EVENTS: ListTable<FieldFilter<Events>, &'static str> = small_list::table(
    "Names separated by commas, each with an optional `-`: `created`, `pk`, `user`, `action`, `app`, `context`, `client_ip`, \
     `expires`, `brand`. Without any that is known: `-created`.",
    "Terms, each of which must be part of the uuid, the user, the action, the module, the context or the address. The search \
     looks at the first 20,000 events that the filters and the order give.",
);

/// The parameters of the list, for the description.
pub struct EventListParameters;

impl utoipa::IntoParams for EventListParameters {
    fn into_params(_: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>) -> Vec<utoipa::openapi::path::Parameter> {
        let mut all = EVENTS.parameters();
        all.push(actions_parameter());
        all
    }
}

/// The filters and the search, for the description of what is counted.
pub struct EventFilterParameters;

impl utoipa::IntoParams for EventFilterParameters {
    fn into_params(_: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>) -> Vec<utoipa::openapi::path::Parameter> {
        let mut all = EVENTS.parameters();
        all.retain(|parameter| !["page", "page_size", "ordering"].contains(&parameter.name.as_str()));
        all.push(actions_parameter());
        all
    }
}

fn actions_parameter() -> utoipa::openapi::path::Parameter {
    let items = utoipa::openapi::Ref::from_schema_name("EventActions");
    let schema = utoipa::openapi::schema::ArrayBuilder::new().items(items).into();
    parameter("actions", "Any of these actions; the parameter is repeated.", schema)
}

/// The ranks of kinds by their actions and by their modules: what `ordering` by them orders by.
fn ranks(by: fn(&str) -> &'static str) -> &'static [(&'static str, i64)] {
    let mut kinds: Vec<(&'static str, &'static str)> =
        crate::domain::event::EventKind::ALL.iter().map(|kind| (by(kind.as_str()), kind.as_str())).collect();
    kinds.sort_unstable();
    let mut ranked: Vec<(&'static str, i64)> = Vec::with_capacity(kinds.len());
    let mut last = ("", 0);
    for (word, kind) in kinds {
        if word != last.0 {
            last = (word, last.1 + 1);
        }
        ranked.push((kind, last.1));
    }
    Vec::leak(ranked)
}

/// An order in the store's words. Names of fields that are equal in all events order nothing.
#[must_use]
pub fn orders(sorts: &[Sort<&'static str>]) -> Vec<Sort<EventOrder>> {
    static BY_ACTION: std::sync::LazyLock<&[(&str, i64)]> =
        std::sync::LazyLock::new(|| ranks(|kind| actions::action(kind).as_str()));
    static BY_MODULE: std::sync::LazyLock<&[(&str, i64)]> = std::sync::LazyLock::new(|| ranks(actions::module));
    let key = |name: &str| match name {
        "created" | "expires" => Some(EventOrder::At),
        "pk" | "event_uuid" => Some(EventOrder::Uuid),
        "user" => Some(EventOrder::Actor),
        "action" => Some(EventOrder::Kind(*BY_ACTION)),
        "app" => Some(EventOrder::Kind(*BY_MODULE)),
        "context" => Some(EventOrder::Content),
        "client_ip" => Some(EventOrder::Ip),
        _ => None,
    };
    let sorts: Vec<Sort<EventOrder>> =
        sorts.iter().filter_map(|sort| Some(Sort { key: key(sort.key)?, is_descending: sort.is_descending })).collect();
    if sorts.is_empty() { vec![Sort { key: EventOrder::At, is_descending: true }] } else { sorts }
}

/// The actions that `actions` names.
///
/// # Errors
/// 400 for a word that is none.
fn chosen(query: &Query) -> Result<Vec<EventActions>, ApiError> {
    let (mut chosen, mut errors) = (Vec::new(), FieldErrors::default());
    for word in query.all("actions").map(str::trim).filter(|word| !word.is_empty()) {
        match EventActions::ALL.iter().find(|action| action.as_str() == word) {
            Some(action) => chosen.push(*action),
            None => errors.add("actions", no_such_choice(word)),
        }
    }
    if errors.is_empty() { Ok(chosen) } else { Err(ApiError::Parameters(errors)) }
}

/// Whether events of a kind can match.
type IsWanted<'a> = Box<dyn Fn(&str) -> bool + Send + 'a>;

/// What a list with these filters asks the store for; `None`: no event can match.
///
/// # Errors
/// 400 for a wrong `actions`; else when the database does not answer.
pub async fn question(app: &App, query: &Query, filter: &FieldFilter<Events>) -> Result<Option<EventQuery>, ApiError> {
    let chosen = chosen(query)?;
    let mut asked = EventQuery {
        from: filter.instant("created_gte"),
        after: filter.instant("created_gt"),
        to: filter.instant("created_lte"),
        before: filter.instant("created_lt"),
        username: filter.get("username").map(str::to_owned),
        application: filter.get("context_authorized_app").map(str::to_owned),
        ..EventQuery::default()
    };
    if filter.get("context_device").is_some() || filter.get("brand_name").is_some_and(|name| name != BRAND) {
        return Ok(None);
    }
    if let Some(ip) = filter.get("client_ip") {
        let Some(ip) = Address::parse(ip) else { return Ok(None) };
        asked.ip = Some(ip.to_string());
    }
    let part = filter.get("action").map(str::to_lowercase);
    let (app_name, name) = (filter.get("context_model_app"), filter.get("context_model_name"));
    let mut is_wanted: Vec<IsWanted<'_>> = Vec::new();
    if let Some(part) = &part {
        is_wanted.push(Box::new(move |kind| actions::action(kind).as_str().contains(part)));
    }
    if !chosen.is_empty() {
        is_wanted.push(Box::new(|kind| chosen.contains(&actions::action(kind))));
    }
    if let Some(wanted) = app_name {
        is_wanted.push(Box::new(move |kind| filtered_model(kind).is_some_and(|model| model.app == wanted)));
    }
    if let Some(wanted) = name {
        is_wanted.push(Box::new(move |kind| filtered_model(kind).is_some_and(|model| model.name == wanted)));
    }
    if asked.application.is_some() {
        is_wanted.push(Box::new(|kind| actions::action(kind) == EventActions::AuthorizeApplication));
    }
    match filter.get("context_model_pk").map(|pk| pk.replace('-', "")) {
        None => {}
        Some(pk) => match (uuid::Uuid::try_parse(&pk), pk.parse()) {
            (_, Ok(id)) if pk.len() != 32 => {
                asked.user = app.store.read().find_user_uuid(UserId(id)).await?;
                if asked.user.is_none() {
                    return Ok(None);
                }
                is_wanted.push(Box::new(|kind| filtered_model(kind) == Some(USER)));
            }
            (Ok(uuid), _) if app.store.read().has_events_of_session(uuid).await? => {
                asked.session = Some(uuid);
                is_wanted.push(Box::new(|kind| filtered_model(kind) == Some(SESSION)));
            }
            (Ok(uuid), _) if app.store.read().has_events_of_user(uuid).await? => {
                asked.user = Some(uuid);
                is_wanted.push(Box::new(|kind| filtered_model(kind) == Some(POLICY)));
            }
            (Ok(uuid), _) => {
                // `token_uuid`, `group_uuid` or `application_uuid`; the uuids of a group's members are in lists.
                asked.names = Some(format!("_uuid\":\"{}\"", uuid.simple()));
                is_wanted.push(Box::new(|kind| matches!(filtered_model(kind), Some(TOKEN | GROUP | APPLICATION | POLICY))));
            }
            _ => return Ok(None),
        },
    }
    if !is_wanted.is_empty() {
        let kinds = app.store.read().list_event_kinds().await?;
        let wanted: Vec<String> = kinds.into_iter().filter(|kind| is_wanted.iter().all(|is| is(kind))).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        asked.kinds = Some(wanted);
    }
    Ok(Some(asked))
}

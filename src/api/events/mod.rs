//! `/api/v3/events/events/`: what happened, listed, searched, shown and counted. Events are read only.

pub mod actions;
pub mod query;
pub mod statistics;
pub mod wire;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::ApiError;
use crate::api::events::actions::EventActions;
use crate::api::events::query::{EVENTS, EventListParameters, orders, question};
use crate::api::events::wire::{Event, EventPage};
use crate::api::list::{Empty, Pagination};
use crate::domain::listing::Sort;
use crate::domain::page::Found;
use crate::store::events::query::{EventOrder, EventQuery};
use crate::store::events::rows::EventRow;

const ABOUT: &str = "What happened";
/// How many events a search looks at: it reads each of them.
const SEARCHED: i64 = 20_000;

/// A kind of thing, in authentik's words.
#[derive(Serialize, ToSchema)]
pub struct TypeCreate {
    name: &'static str,
    description: &'static str,
    component: &'static str,
    model_name: &'static str,
}

/// The list's address. It is for administrators.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Event List", ABOUT).needs(administrators).on(Method::GET, list).route()
}

/// One event's address. It is for administrators.
pub fn item() -> MethodRouter<App> {
    Endpoint::new("Event Instance", ABOUT).of("Event").needs(administrators).on(Method::GET, retrieve).route()
}

/// The address of the actions there are. It is for everybody who is signed in.
pub fn actions_address() -> MethodRouter<App> {
    Endpoint::new("Event Actions", "The actions there are").on(Method::GET, list_actions).route()
}

/// Lists events, the latest first.
#[utoipa::path(
    get, path = "/api/v3/events/events/", operation_id = "events_events_list", tag = "events",
    params(EventListParameters), responses((status = 200, body = EventPage, description = "A page of events."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let is_strict = app.config.api.strict_query;
    let request = EVENTS.read_with(&call.query, is_strict, &["actions"])?;
    let (wanted, order) = (request.wanted(call.asked)?, orders(&request.sorts));
    let found = match question(&app, &call.query, &request.filter).await? {
        None => wanted.none(),
        Some(asked) if request.filter.terms().is_empty() => app.store.page(&asked, &order, wanted).await?,
        Some(asked) => {
            let hits = search(&app, asked, order, request.filter.terms()).await?;
            let count = i64::try_from(hits.len()).unwrap_or(i64::MAX);
            match wanted.window(count) {
                None => wanted.found(count, Vec::new()),
                Some(window) => {
                    let (offset, limit) = (usize::try_from(window.offset).unwrap_or(0), usize::try_from(window.limit).unwrap_or(0));
                    wanted.found(count, hits.into_iter().skip(offset).take(limit).collect())
                }
            }
        }
    };
    page(&app, &found)
}

/// The events in which all terms are, of the first that a question and an order give.
async fn search(app: &App, asked: EventQuery, order: Vec<Sort<EventOrder>>, terms: &[String]) -> Result<Vec<EventRow>, ApiError> {
    let mut rows = app.store.first_events(asked, order, SEARCHED).await?;
    rows.retain(|row| event(app, row).has_all(terms));
    Ok(rows)
}

fn page(app: &App, found: &Found<EventRow>) -> Answer {
    let pagination = Pagination::of(found)?;
    let results = found.rows.iter().map(|row| event(app, row)).collect();
    Ok(ok(&EventPage { pagination, results, autocomplete: Empty {} }))
}

/// A row in authentik's words.
fn event(app: &App, row: &EventRow) -> Event {
    Event::new(row, app.config.history.event_retention)
}

/// Shows one event.
#[utoipa::path(
    get, path = "/api/v3/events/events/{event_uuid}/", operation_id = "events_events_retrieve", tag = "events",
    params(("event_uuid" = String, Path, format = Uuid)), responses((status = 200, body = Event, description = "The event."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let uuid = django::uuid(call.part()).ok_or(ApiError::NotFound)?;
    let row = app.store.read().find_event(uuid.0).await?.ok_or(ApiError::Missing)?;
    Ok(ok(&event(&app, &row)))
}

/// Lists the actions there are.
#[utoipa::path(
    get, path = "/api/v3/events/events/actions/", operation_id = "events_events_actions_list", tag = "events",
    responses((status = 200, body = Vec<TypeCreate>, description = "All of them."))
)]
pub(crate) async fn list_actions(_: App, _: Call) -> Answer {
    let all: Vec<TypeCreate> = EventActions::ALL
        .iter()
        .map(|action| TypeCreate { name: action.title(), description: "", component: action.as_str(), model_name: "" })
        .collect();
    Ok(ok(&all))
}

//! What is counted of events: `volume/`, `top_per_user/` and `stats/`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::actions::app::App;
use crate::api::django;
use crate::api::django::Int;
use crate::api::duration;
use crate::api::endpoint::{Answer, Call, Endpoint, NO_INTEGER, REQUIRED, administrators, ok};
use crate::api::error::ApiError;
use crate::api::events::actions::{self, EventActions};
use crate::api::events::query::{EVENTS, EventFilterParameters, orders, question};
use crate::api::events::wire::application;
use crate::domain::Timestamp;
use crate::store::events::pages::span_of;
use crate::store::events::query::EventQuery;
use crate::store::events::rows::EventRow;

const DAY: Duration = Duration::from_secs(86_400);
/// How many days `volume/` goes back at most, and without `history_days`.
const MOST_DAYS: i64 = 60;
const DAYS: i64 = 7;
/// How many applications `top_per_user/` gives at most, and without `top_n`.
const MOST_TOP: i64 = 1_000;
const TOP: i64 = 15;
/// How many steps `stats/` counts at most.
const MOST_STEPS: usize = 32;

/// How many events of one action there were in six hours.
#[derive(Serialize, ToSchema)]
pub struct EventVolume {
    action: EventActions,
    /// The beginning of the six hours.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    count: i64,
}

/// How often an application is in events.
#[derive(Serialize, ToSchema)]
pub struct EventTopPerUser {
    /// The application.
    #[schema(value_type = Object)]
    application: Value,
    counted_events: i64,
    unique_users: i64,
}

/// How many users did something, and how many events are younger than each step.
#[derive(Serialize, ToSchema)]
pub struct EventStats {
    unique_users: i64,
    /// By the step as it was given.
    count_step: BTreeMap<String, i64>,
}

/// The address of the numbers by action and time. It is for administrators.
pub fn volume_address() -> MethodRouter<App> {
    Endpoint::new("Event Volume", "How many events there were").needs(administrators).on(Method::GET, volume).route()
}

/// The address of the applications. It is for administrators.
pub fn top_address() -> MethodRouter<App> {
    Endpoint::new("Top Applications", "Which applications events are about").needs(administrators).on(Method::GET, top).route()
}

/// The address of the numbers by age. It is for administrators.
pub fn stats_address() -> MethodRouter<App> {
    Endpoint::new("Event Statistics", "How many events are how young").needs(administrators).on(Method::GET, stats).route()
}

/// What the list's filters ask for, and the terms of its search. Parameters of `own` are known, too.
async fn asked(app: &App, call: &Call, own: &[&str]) -> Result<Option<(EventQuery, Vec<String>)>, ApiError> {
    let known: Vec<&str> = own.iter().copied().chain(["actions"]).collect();
    let request = EVENTS.read_with(&call.query, app.config.api.strict_query, &known)?;
    let terms = request.filter.terms().to_vec();
    Ok(question(app, &call.query, &request.filter).await?.map(|asked| (asked, terms)))
}

/// The latest events that a question asks for and a search finds, as the list gives them.
async fn searched(app: &App, asked: EventQuery, terms: &[String]) -> Result<Vec<EventRow>, ApiError> {
    super::search(app, asked, orders(&[]), terms).await
}

/// How many events are about each application, and how many users did them: those with the most first.
fn by_application(rows: &[EventRow], limit: i64) -> Vec<(String, i64, i64)> {
    let mut all: HashMap<&str, (i64, HashSet<Uuid>)> = HashMap::new();
    for row in rows.iter().filter(|row| !row.application.is_empty()) {
        let (count, users) = all.entry(&row.application).or_default();
        *count += 1;
        users.extend(row.actor_uuid);
    }
    let counted = |(slug, (count, users)): (&str, (i64, HashSet<Uuid>))| (slug.to_owned(), count, size(users.len()));
    let mut all: Vec<(String, i64, i64)> = all.into_iter().map(counted).collect();
    all.sort_by(|(a, most, _), (b, count, _)| count.cmp(most).then_with(|| a.cmp(b)));
    all.truncate(usize::try_from(limit).unwrap_or(0));
    all
}

/// How many users did these events, and how many happened since each instant.
fn by_age(rows: &[EventRow], since: &[Timestamp]) -> (i64, Vec<i64>) {
    let users: HashSet<Uuid> = rows.iter().filter_map(|row| row.actor_uuid).collect();
    let counts = since.iter().map(|instant| size(rows.iter().filter(|row| row.at >= *instant).count()));
    (size(users.len()), counts.collect())
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Leaves the events of one action.
async fn of_action(app: &App, asked: EventQuery, wanted: EventActions) -> Result<EventQuery, ApiError> {
    let kinds = match asked.kinds {
        Some(kinds) => kinds,
        None => app.store.read().list_event_kinds().await?,
    };
    Ok(EventQuery { kinds: Some(kinds.into_iter().filter(|kind| actions::action(kind) == wanted).collect()), ..asked })
}

/// A whole number of the query, at most `most`; `without` when it is not there.
fn number(call: &Call, name: &str, most: i64, without: i64) -> Result<i64, ApiError> {
    match call.query.last(name).map(django::int) {
        None => Ok(without),
        Some(None) => Err(ApiError::parameter(name, NO_INTEGER)),
        Some(Some(Int::Fits(number))) => Ok(number.clamp(0, most)),
        Some(Some(Int::TooLarge)) => Ok(most),
        Some(Some(Int::TooSmall)) => Ok(0),
    }
}

/// Counts events by action and by spans of six hours, from 0, 6, 12 and 18 h UTC. Spans without events are left out.
#[utoipa::path(
    get, path = "/api/v3/events/events/volume/", operation_id = "events_events_volume_list", tag = "events",
    params(EventFilterParameters, ("history_days" = Option<i64>, Query, description = "How many days: 7 unless given, at most 60.")),
    responses((status = 200, body = Vec<EventVolume>, description = "By time, then by action."))
)]
pub(crate) async fn volume(app: App, call: Call) -> Answer {
    let days = number(&call, "history_days", MOST_DAYS, DAYS)?;
    let since = app.clock.now().minus(DAY.saturating_mul(u32::try_from(days).unwrap_or(0)));
    let mut spans: BTreeMap<(Timestamp, EventActions), i64> = BTreeMap::new();
    if let Some((mut asked, terms)) = asked(&app, &call, &["history_days"]).await? {
        asked.from = Some(asked.from.map_or(since, |from| from.max(since)));
        if terms.is_empty() {
            for (kind, time, count) in app.store.count_event_spans(asked).await? {
                *spans.entry((time, actions::action(&kind))).or_default() += count;
            }
        } else {
            for row in searched(&app, asked, &terms).await? {
                *spans.entry((span_of(row.at), actions::action(row.kind()))).or_default() += 1;
            }
        }
    }
    let mut all: Vec<EventVolume> = spans.into_iter().map(|((time, action), count)| EventVolume { action, time, count }).collect();
    all.sort_by_key(|volume| (volume.time, volume.action.as_str()));
    Ok(ok(&all))
}

/// Lists the applications that most events are about: of the action `login`, unless `action` names another one.
#[utoipa::path(
    get, path = "/api/v3/events/events/top_per_user/", operation_id = "events_events_top_per_user_list", tag = "events",
    params(EventFilterParameters, ("top_n" = Option<i64>, Query, description = "How many applications: 15 unless given.")),
    responses((status = 200, body = Vec<EventTopPerUser>, description = "Those with the most events first."))
)]
pub(crate) async fn top(app: App, call: Call) -> Answer {
    let limit = number(&call, "top_n", MOST_TOP, TOP)?;
    let is_any_action = call.query.last("action").unwrap_or_default().is_empty();
    let found = match asked(&app, &call, &["top_n"]).await? {
        None => Vec::new(),
        Some((mut asked, terms)) => {
            if is_any_action {
                asked = of_action(&app, asked, EventActions::Login).await?;
            }
            if terms.is_empty() {
                app.store.count_event_applications(asked, limit).await?
            } else {
                by_application(&searched(&app, asked, &terms).await?, limit)
            }
        }
    };
    let keys = app.store.read().list_application_keys(found.iter().map(|(slug, ..)| slug.as_str())).await?;
    let all: Vec<EventTopPerUser> = found
        .into_iter()
        .map(|(slug, counted_events, unique_users)| EventTopPerUser {
            application: application(&slug, keys.get(&slug.to_ascii_lowercase()).map(|(uuid, _)| *uuid)),
            counted_events,
            unique_users,
        })
        .collect();
    Ok(ok(&all))
}

/// Counts events that are younger than each step.
#[utoipa::path(
    get, path = "/api/v3/events/events/stats/", operation_id = "events_events_stats_retrieve", tag = "events",
    params(EventFilterParameters, ("count_steps" = Vec<String>, Query, description = "Durations such as `days=1`, at most 32.")),
    responses((status = 200, body = EventStats, description = "The numbers."))
)]
pub(crate) async fn stats(app: App, call: Call) -> Answer {
    let steps: Vec<String> = call.query.all("count_steps").map(str::to_owned).collect();
    if steps.is_empty() {
        return Err(ApiError::parameter("count_steps", REQUIRED));
    }
    if steps.len() > MOST_STEPS {
        return Err(ApiError::parameter("count_steps", &format!("Ensure this field has no more than {MOST_STEPS} elements.")));
    }
    let now = app.clock.now();
    let mut since = Vec::new();
    for step in &steps {
        let micros = duration::parse(step).ok_or_else(|| ApiError::parameter("count_steps", &duration::no_duration(step)))?;
        since.push(Timestamp(now.0.saturating_sub(micros)));
    }
    let (unique_users, counts) = match asked(&app, &call, &["count_steps"]).await? {
        None => (0, vec![0; steps.len()]),
        Some((asked, terms)) if terms.is_empty() => app.store.count_event_users(asked, since).await?,
        Some((asked, terms)) => by_age(&searched(&app, asked, &terms).await?, &since),
    };
    Ok(ok(&EventStats { unique_users, count_step: steps.into_iter().zip(counts).collect() }))
}

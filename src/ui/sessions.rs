//! `/sessions`: where one is signed in, and signing out from there.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use super::error::PageError;
use super::form::Visitor;
use super::sign_in::read_form;
use super::sign_out::ProofForm;
use super::{Frame, PageResult, assets, page};
use crate::actions::principal::Principal;
use crate::actions::sessions;
use crate::app::App;
use crate::auth::forget_session;
use crate::domain::listing::{SessionFilter, Sort, SortKey, Window};
use crate::domain::{SessionId, Timestamp};
use crate::http::query::Query;
use crate::store::sessions::{LiveSession, SessionRow};
use crate::store::user_agents::UserAgentRow;

/// How many sessions a page shows.
const PAGE_SIZE: i64 = 25;
const PATH: &str = "/sessions";

#[derive(Template)]
#[template(path = "pages/sessions.html")]
struct SessionsPage {
    frame: Frame,
    count: i64,
    cards: Vec<Card>,
    /// The session this page was asked with.
    current: SessionId,
    number: i64,
    pages: i64,
}

/// One session, in words.
struct Card {
    id: SessionId,
    agent: String,
    /// `phone` or `desktop`: which picture it gets.
    device: &'static str,
    place: String,
    network: String,
    ip: String,
    last_used: Moment,
    signed_in: Moment,
    ends: Moment,
}

/// An instant, for people and for machines.
struct Moment {
    exact: String,
    words: String,
}

impl Moment {
    fn new(at: Timestamp, now: Timestamp) -> Self {
        let words = if at > now { format!("in {}", spell(at.since(now))) } else { format!("{} ago", spell(now.since(at))) };
        let is_now = now.since(at) < Duration::from_secs(60) && at <= now;
        Self { exact: at.to_string(), words: if is_now { "just now".into() } else { words } }
    }
}

/// A duration in its largest unit: `3 days`.
fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    // Rounded: twelve hours that began a second ago are still "12 hours".
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3570 => ((seconds + 30) / 60, "minute"),
        3570..84600 => ((seconds + 1800) / 3600, "hour"),
        _ => ((seconds + 43200) / 86400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The sessions of whoever asks, the last used first.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.signed_in(PATH)?;
    let now = app.clock.now();
    // The door's own rule: what is over at this instant is not shown, swept or not.
    let after_now = now.plus(Duration::from_micros(1));
    let filter = SessionFilter { visible_to: Some(session.user_id), expires_gte: Some(after_now), ..SessionFilter::default() };
    let sorts = [Sort { key: SortKey::LastUsed, is_descending: true }];
    let db = app.store.read();
    let count = db.count_sessions(&filter).await?;
    let pages = (count + PAGE_SIZE - 1).div_euclid(PAGE_SIZE).max(1);
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let number = query.last("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
    let window = Window { offset: (number - 1) * PAGE_SIZE, limit: PAGE_SIZE };
    let rows = db.list_sessions(&filter, &sorts, window, count).await?;
    let agents = app.user_agents.entries(&db, rows.iter().map(|row| row.user_agent_id)).await?;
    let cards = rows
        .iter()
        .map(|row| {
            let agent = agents.get(&row.user_agent_id).map(|agent| &agent.parsed);
            let is_phone = agent.is_some_and(|it| matches!(it.system.family.as_str(), "Android" | "iOS" | "iPadOS"));
            card(&app, row, describe(agents.get(&row.user_agent_id)), if is_phone { "phone" } else { "desktop" }, now)
        })
        .collect();
    let frame = Frame { username: Some(session.username.clone()), css: assets::css(), proof: visitor.proof(&app) };
    Ok(page(StatusCode::OK, &SessionsPage { frame, count, cards, current: session.uuid, number, pages }))
}

/// Browser and system in words; what nothing is known of, in its own words.
fn describe(agent: Option<&Arc<UserAgentRow>>) -> String {
    const LONGEST: usize = 80;
    let Some(agent) = agent else { return String::new() };
    let is_known = agent.parsed.browser.family != "Other" || agent.parsed.system.family != "Other";
    if is_known || agent.text.is_empty() {
        return agent.parsed.describe();
    }
    agent.text.chars().take(LONGEST).collect()
}

fn card(app: &App, row: &SessionRow, agent: String, device: &'static str, now: Timestamp) -> Card {
    let place = app.geoip.place(row.last_ip).map(|place| {
        let parts = [place.city, place.country];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    });
    let network = app.geoip.autonomous_system(row.last_ip).map(|it| it.organization.unwrap_or_else(|| format!("AS{}", it.number)));
    Card {
        id: row.uuid,
        agent,
        device,
        place: place.filter(|place| !place.is_empty()).unwrap_or_else(|| "Unknown place".into()),
        network: network.unwrap_or_default(),
        ip: row.last_ip.to_string(),
        last_used: Moment::new(row.last_used_at, now),
        signed_in: Moment::new(row.created_at, now),
        ends: Moment::new(row.expires_at, now),
    }
}

/// Ends one of one's own sessions. Ending the one in use signs out.
pub async fn end(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let (parts, form) = read_form::<ProofForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.signed_in(PATH)?;
    visitor.check(&app, &parts.headers, &form.proof)?;
    let id = SessionId::parse(&uuid).ok_or(PageError::NotFound)?;
    let actor = visitor.client.as_anonymous().as_user(session.user_id, &session.username);
    match sessions::revoke(&app, &owner(session), id, &actor).await {
        // It ended by itself meanwhile: what was asked for is so.
        Ok(()) | Err(crate::actions::ActionError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    let mut response = Redirect::to(PATH).into_response();
    if id == session.uuid {
        forget_session(&app, response.headers_mut());
    }
    Ok(response)
}

/// Ends all of one's own sessions but this one.
pub async fn end_others(State(app): State<App>, request: Request) -> PageResult {
    let (parts, form) = read_form::<ProofForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.signed_in(PATH)?;
    visitor.check(&app, &parts.headers, &form.proof)?;
    let actor = visitor.client.as_anonymous().as_user(session.user_id, &session.username);
    sessions::revoke_others(&app, session, &actor).await?;
    Ok(Redirect::to(PATH).into_response())
}

/// The visitor, with no rights beyond their own sessions: this page is about those alone.
fn owner(session: &LiveSession) -> Principal {
    Principal {
        user_id: session.user_id,
        username: session.username.clone(),
        rights: crate::store::users::Rights::default(),
        session: Some(session.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_words() {
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let words = |moment: i64| Moment::new(at(moment), at(100_000)).words;
        assert_eq!(words(99_999), "just now");
        assert_eq!(words(99_940), "1 minute ago");
        assert_eq!(words(100_000 - 7300), "2 hours ago");
        assert_eq!(words(100_000 + 3 * 86400), "in 3 days");
        assert_eq!(words(100_000 + 12 * 3600 - 1), "in 12 hours");
        assert_eq!(words(100_000 + 3599), "in 1 hour");
        assert_eq!(words(100_000 + 86399), "in 1 day");
    }
}

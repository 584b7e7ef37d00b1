//! `/sessions`: the user's own sessions, and ending them.

use std::collections::HashMap;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::actions::sessions::{end, look};
use crate::auth::forget_session;
use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::{Found, Wanted};
use crate::domain::{SessionId, Timestamp};
use crate::http::query::Query;
use crate::store::events::list::EventFilter;
use crate::store::sessions::details::{EndedDetailRow, SessionDetailRow};
use crate::store::sessions::rows::LiveSession;
use crate::ui::admin::begin;
use crate::ui::admin::begin::Step;
use crate::ui::error::PageError;
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{Device, EventLine, Moment, Whereabouts, describe, end_reason, grouped, methods, plural};
use crate::ui::{Frame, PageResult, Section, page};

/// How many sessions a page shows.
const PAGE_SIZE: i64 = 25;
/// How many ended ones.
const ENDED: i64 = 20;
/// How many events.
const EVENTS: i64 = 30;
const PATH: &str = "/sessions";
/// The value of `ended` in the address for "all others".
const OTHERS: &str = "others";
const NOT_ME: &str = "/sessions/not-me";

#[derive(Template)]
#[template(path = "pages/devices.html")]
struct DevicesPage {
    frame: Frame,
    count: i64,
    cards: Vec<Card>,
    ended: Vec<Ended>,
    /// The session that requested this page.
    current: SessionId,
    number: i64,
    pages: i64,
    /// What to do first, on a new instance.
    begin: Vec<Step>,
    /// What was just done, in a sentence.
    done: String,
    error: String,
}

/// One session, in words.
struct Card {
    id: SessionId,
    label: String,
    agent: String,
    device: Device,
    place: String,
    network: String,
    ip: String,
    last_used: Moment,
    signed_in: Moment,
    methods: String,
    /// The names of the apps that it has open.
    apps: Vec<String>,
    is_remembered: bool,
    ends: Moment,
    /// What follows the time of the end: ` unless used`.
    why_ends: &'static str,
}

/// A session that ended, in words.
pub(in crate::ui) struct Ended {
    pub id: SessionId,
    pub agent: String,
    pub device: Device,
    pub place: String,
    pub ip: String,
    pub signed_in: Moment,
    pub at: Moment,
    pub why: String,
}

/// The visitor's sessions, the last used first.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let number = query.last("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    list(&app, &visitor, number, query.last("ended"), String::new()).await
}

async fn list(app: &App, visitor: &Visitor, number: i64, just_ended: Option<&str>, error: String) -> PageResult {
    let session = visitor.signed_in(PATH)?;
    let now = app.clock.now();
    let filter = live_of(session, now);
    let sorts = [Sort { key: SortKey::LastUsed, is_descending: true }];
    let db = app.store.read();
    let found = app.store.page(&filter, &sorts, Wanted::page_or_last(number, PAGE_SIZE)).await?;
    let Found { count, number, pages, rows, .. } = found;
    let ids: Vec<SessionId> = rows.iter().map(|row| row.uuid).collect();
    let details = db.list_session_details(&ids).await?;
    let details: HashMap<SessionId, SessionDetailRow> = details.into_iter().map(|detail| (detail.row.uuid, detail)).collect();
    let mut opened: HashMap<SessionId, Vec<String>> = HashMap::new();
    for row in db.list_app_sessions_of(&ids).await? {
        opened.entry(row.session).or_default().push(row.name);
    }
    let gone = db.list_ended_of_user(session.user_id, ENDED).await?;
    let known = rows.iter().map(|row| row.user_agent_id).chain(gone.iter().map(|row| row.user_agent_id));
    let agents = app.user_agents.entries(&db, known).await?;
    let cards = ids
        .iter()
        .filter_map(|id| details.get(id))
        .map(|detail| {
            let agent = agents.get(&detail.row.user_agent_id);
            let apps = opened.remove(&detail.row.uuid).unwrap_or_default();
            Card { apps, ..card(app, detail, describe(agent), Device::of(agent), now) }
        })
        .collect();
    let ended = gone.iter().map(|row| {
        let agent = agents.get(&row.user_agent_id);
        ended(app, row, describe(agent), Device::of(agent), now)
    });
    let ended: Vec<Ended> = ended.collect();
    let done = done(just_ended, &ended, count);
    let frame = visitor.frame(app, Section::Devices);
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let begin = begin::steps(app, visitor).await?;
    Ok(page(status, &DevicesPage { frame, count, cards, ended, current: session.uuid, number, pages, begin, done, error }))
}

/// A sentence about what was just ended. The address names it, and it is shown only if the stored
/// state agrees.
fn done(just_ended: Option<&str>, ended: &[Ended], count: i64) -> String {
    match just_ended {
        Some(OTHERS) if count == 1 => "You are signed out everywhere else.".into(),
        Some(text) => {
            let id = SessionId::parse(text);
            let row = ended.iter().find(|row| Some(row.id) == id);
            row.map(|row| format!("{} ({}) is signed out.", row.agent, row.place)).unwrap_or_default()
        }
        None => String::new(),
    }
}

/// The filter for a user's live sessions, with the rule of the check: a session that has expired is
/// not shown, swept or not.
fn live_of(session: &LiveSession, now: Timestamp) -> SessionFilter {
    let after_now = now.plus(Duration::from_micros(1));
    SessionFilter { visible_to: Some(session.user_id), expires_gte: Some(after_now), ..SessionFilter::default() }
}

fn card(app: &App, detail: &SessionDetailRow, agent: String, device: Device, now: Timestamp) -> Card {
    let row = &detail.row;
    let whereabouts = Whereabouts::of(app, row.last_ip);
    Card {
        id: row.uuid,
        label: detail.sign_in.label.clone(),
        agent,
        device,
        place: whereabouts.place,
        network: whereabouts.network,
        ip: row.last_ip.to_string(),
        last_used: Moment::new(row.last_used_at, now),
        signed_in: Moment::new(row.created_at, now),
        methods: methods(detail.sign_in.methods),
        apps: Vec::new(),
        is_remembered: row.is_remembered,
        ends: Moment::until(row.expires_at, now),
        why_ends: why_ends(detail),
    }
}

/// Which of the two limits comes first.
pub(in crate::ui) fn why_ends(detail: &SessionDetailRow) -> &'static str {
    if detail.row.expires_at < detail.lifetime.absolute_expires_at { " unless it is used" } else { ", whether it is used or not" }
}

pub(in crate::ui) fn ended(app: &App, row: &EndedDetailRow, agent: String, device: Device, now: Timestamp) -> Ended {
    Ended {
        id: row.uuid,
        agent: if row.sign_in.label.is_empty() { agent } else { row.sign_in.label.clone() },
        device,
        place: Whereabouts::of(app, row.last_ip).place,
        ip: row.last_ip.to_string(),
        signed_in: Moment::new(row.created_at, now),
        at: Moment::new(row.ended_at, now),
        why: end_reason(&row.reason, &row.ended_by),
    }
}

/// Ends one of the user's own sessions. Ending the one in use signs out.
pub async fn end(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let submission = Submission::<NoFields>::signed_in(&app, request, PATH).await?;
    let session = submission.visitor.signed_in(PATH)?;
    let id = SessionId::parse(&uuid).ok_or(PageError::NotFound)?;
    if app.config.sessions.confirm_ends && id != session.uuid {
        submission.must_be_confirmed(&app, PATH)?;
    }
    let Submission { parts, visitor, .. } = &submission;
    match end::end_session(&app, &owner(session), id, &visitor.actor()).await {
        // It has ended already, which was the purpose.
        Ok(()) | Err(ActionError::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    if id != session.uuid {
        return Ok(Redirect::to(&format!("{PATH}?ended={id}")).into_response());
    }
    let mut response = Redirect::to(PATH).into_response();
    forget_session(&app, &parts.headers, response.headers_mut(), true);
    Ok(response)
}

/// What the button that ends all others sends.
#[derive(Deserialize)]
pub(in crate::ui) struct OthersForm {
    /// `not-me`: return to the steps of "this wasn't me".
    #[serde(default)]
    next: String,
}

/// Asks before all of the user's other sessions end.
pub async fn ask_end_others(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let (is_not_me, session) = (query.last("next") == Some("not-me"), visitor.signed_in(PATH)?);
    if app.config.sessions.confirm_ends {
        visitor.confirmed(&app, parts.uri.path_and_query().map_or(PATH, |path| path.as_str()))?;
    }
    let (count, listed) = question::sessions(&app, session.user_id, Some(session.uuid)).await?;
    let back = if is_not_me { (NOT_ME, "This wasn’t me") } else { (PATH, "My devices") };
    if count == 0 {
        return Ok(Redirect::to(back.0).into_response());
    }
    let question = Question {
        verb: "Sign out",
        object: format!("of {} other session{}", grouped(count), plural(count)),
        follows: vec!["You stay signed in here. The others are signed out from their next request.".into()],
        heading: "These sessions will end",
        listed,
        count,
        action: "/sessions/end-others".into(),
        fields: if is_not_me { vec![("next", "not-me".into())] } else { Vec::new() },
        back: (back.0.into(), back.1.into()),
    };
    Ok(question::ask(&app, &visitor, Section::Devices, question))
}

/// Ends all of the user's own sessions but this one.
pub async fn end_others(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<OthersForm>::signed_in(&app, request, PATH).await?;
    if app.config.sessions.confirm_ends {
        submission.must_be_confirmed(&app, PATH)?;
    }
    let Submission { visitor, form, .. } = submission;
    let session = visitor.signed_in(PATH)?;
    end::end_others(&app, session, &visitor.actor()).await?;
    let back = format!("{PATH}?ended={OTHERS}");
    Ok(Redirect::to(if form.next == "not-me" { NOT_ME } else { &back }).into_response())
}

/// What the form for a name sends.
#[derive(Deserialize)]
pub(in crate::ui) struct NameForm {
    #[serde(default)]
    label: String,
}

/// Renames one of the user's own sessions.
pub async fn rename(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<NameForm>::signed_in(&app, request, PATH).await?;
    let session = visitor.signed_in(PATH)?;
    let id = SessionId::parse(&uuid).ok_or(PageError::NotFound)?;
    match look::rename(&app, &owner(session), id, &form.label, &visitor.actor()).await {
        Ok(()) => Ok(Redirect::to(PATH).into_response()),
        Err(ActionError::Label(rule)) => list(&app, &visitor, 1, None, format!("Sorry: {rule}.")).await,
        Err(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "pages/not_me.html")]
struct NotMePage {
    frame: Frame,
    agent: String,
    place: String,
    ip: String,
    last_used: Option<Moment>,
    others: String,
    /// How many second factors they have.
    factors: usize,
    events: Vec<EventLine>,
}

/// What to do about a session that the user does not know, step by step.
pub async fn not_me(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.signed_in(NOT_ME)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let (now, db) = (app.clock.now(), app.store.read());
    let others = app.store.count_sessions(&live_of(session, now)).await? - 1;
    let user = db.find_user_uuid(session.user_id).await?.ok_or(PageError::NotFound)?;
    let filter = EventFilter { user: Some(user), ..EventFilter::default() };
    let events = db.list_latest_events(&filter, EVENTS).await?;
    let events = events.iter().map(|event| EventLine::new(&app, event, now, Some(session.user_id))).collect();
    let frame = visitor.frame(&app, Section::Devices);
    let mut template = NotMePage {
        frame,
        agent: String::new(),
        place: String::new(),
        ip: String::new(),
        last_used: None,
        others: grouped(others),
        factors: db.list_factors(session.user_id).await?.iter().filter(|factor| factor.is_confirmed).count(),
        events,
    };
    let asked = query.last("session").and_then(SessionId::parse);
    let found = match asked {
        Some(id) => db.find_session(id).await?.filter(|row| row.user_id == session.user_id),
        None => None,
    };
    if let Some(row) = found {
        let agents = app.user_agents.entries(&db, [row.user_agent_id]).await?;
        template.agent = describe(agents.get(&row.user_agent_id));
        template.place = Whereabouts::of(&app, row.last_ip).place;
        template.ip = row.last_ip.to_string();
        template.last_used = Some(Moment::new(row.last_used_at, now));
    }
    Ok(page(StatusCode::OK, &template))
}

/// The visitor with no rights except on their own sessions: this page shows only those.
fn owner(session: &LiveSession) -> Principal {
    Principal {
        user_id: session.user_id,
        username: session.username.clone(),
        rights: crate::store::people::users::Rights::default(),
        token: None,
        session: Some(session.clone()),
    }
}

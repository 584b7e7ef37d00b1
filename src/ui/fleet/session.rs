//! `/sessions/{uuid}`: everything about one session, live or ended.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::app_sessions;
use crate::actions::by::By;
use crate::actions::principal::Principal;
use crate::actions::sessions::look::{self, Watched};
use crate::actions::watch::status;
use crate::domain::application::session::{EndedAppSession, takes_effect};
use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::source::{NAME, Origin, SourceId};
use crate::domain::{Address, Methods, SessionId, Timestamp, UserId, query};
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::applications::app_sessions::{AppSessionFilter, AppSessionRow};
use crate::store::events::list::EventFilter;
use crate::store::oidc::opened::OpenedToken;
use crate::store::watch::sessions::WatchedSignIn;
use crate::ui::account::devices::why_ends;
use crate::ui::error::PageError;
use crate::ui::fleet::copy::{CopyLine, SourcePages};
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{Device, EventLine, Moment, Whereabouts, describe, end_reason, methods, notice_state};
use crate::ui::{Frame, PageResult, Section, page};

/// How many other sessions and events are shown.
const SHOWN: i64 = 10;
const EVENTS: i64 = 100;

#[derive(Template)]
#[template(path = "pages/session.html")]
#[expect(clippy::struct_excessive_bools, reason = "each decides one thing that the template shows")]
struct SessionPage {
    frame: Frame,
    id: SessionId,
    /// Its title: the session's name, or its browser.
    title: String,
    device: Device,
    agent: String,
    agent_text: String,
    username: String,
    user_url: String,
    place: String,
    network: String,
    ip: String,
    signed_in: Moment,
    /// How, such as ` with password`.
    how: String,
    used: Moment,
    life: Life,
    is_current: bool,
    is_own: bool,
    may_end: bool,
    /// Whether the other sessions are offered as a search.
    shows_others: bool,
    events: Vec<EventLine>,
    others: Vec<Other>,
    others_url: String,
    apps: Vec<OpenApp>,
    /// Whether one of the apps was told of the end, or is to be.
    is_told: bool,
    /// Whether it is said how soon an end takes effect: of apps that are open, and of those that may not know of the end yet.
    shows_effect: bool,
    /// Whether the visitor may end one of them.
    may_close: bool,
    /// What was just ended, in a sentence.
    done: String,
    /// Whether it lives, or lived, at the watched authentik, which tells little of it.
    is_watched: bool,
    /// When and how somebody signed in there, where that is known.
    at_source: Option<(Moment, String)>,
    /// The state of the copy, for a session that lives there.
    copy: Option<CopyLine>,
}

/// An app session: what the session opened of one application.
struct OpenApp {
    uuid: String,
    name: String,
    /// The page of the application, for those who may see it, or `""`.
    url: String,
    /// Guarded hosts and the client.
    opened: Vec<String>,
    since: Moment,
    used: Moment,
    /// Its live tokens: the kind, the scopes and the end of each.
    tokens: Vec<(String, String, Moment)>,
    /// How soon an end takes effect: `at once`, or `within 5 minutes`.
    effect: String,
    /// Whether the app was told of the end, and since when; `None`: it is told nothing, or it goes on.
    told: Option<(&'static str, Moment)>,
}

/// The state of the session.
enum Life {
    /// Live: when it ends, and why.
    Until(Moment, &'static str),
    /// Expired; it will be swept.
    Over(Moment),
    /// Ended: when, why, and a comment.
    Ended(Moment, String, String),
}

/// Another session of the same person.
struct Other {
    id: SessionId,
    agent: String,
    device: Device,
    place: String,
    used: Moment,
}

/// The data of the page, for a live or an ended session.
struct Facts {
    user_id: UserId,
    username: String,
    label: String,
    agent_id: i64,
    ip: Address,
    created_at: Timestamp,
    last_used_at: Timestamp,
    methods: Methods,
    is_known_device: bool,
    is_remembered: bool,
    life: Life,
    apps: Vec<EndedAppSession>,
    /// The tokens of live ones, by the uuid of the app session.
    tokens: HashMap<String, Vec<OpenedToken>>,
    /// The source that it lives at, or lived; `None`: Rollcall.
    source: Option<SourceId>,
    /// How it was signed in to at the source, if the event log there tells it.
    sign_in: Option<WatchedSignIn>,
}

/// The page.
pub async fn show(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let who = visitor.principal(parts.uri.path())?;
    let id = SessionId::parse(&uuid).ok_or(PageError::NotFound)?;
    let (now, db) = (app.clock.now(), app.store.read());
    let facts = facts(&app, &who, id, now).await?;
    let agents = app.user_agents.entries(&db, [facts.agent_id]).await?;
    let agent = agents.get(&facts.agent_id);
    let whereabouts = Whereabouts::of(&app, facts.ip);
    let is_watched = facts.source.is_some();
    let is_own = facts.user_id == who.user_id && !is_watched;
    let filter = EventFilter { session: Some(id), ..EventFilter::default() };
    let seen_by = who.reads_only();
    let events = db.list_latest_events(&filter, EVENTS).await?;
    let described = describe(agent);
    let is_live = matches!(facts.life, Life::Until(_, _));
    let others_search = others_search(&facts);
    let pages = if is_watched { SourcePages::of(&db).await? } else { None };
    let user_url = if let Some(pages) = pages.as_ref().filter(|_| facts.user_id.0 != 0) {
        pages.user(facts.user_id.0)
    } else if is_watched {
        crate::ui::fleet::view::address("/sessions/all", &[("q", others_search.clone())])
    } else if who.rights.may_inspect() {
        format!("/users/{}", facts.user_id.0)
    } else if who.rights.may_view_sessions {
        crate::ui::fleet::view::address("/sessions/all", &[("q", query::token("user", &facts.username))])
    } else {
        "/sessions".into()
    };
    let closed = Query::parse(parts.uri.query().unwrap_or_default());
    let done = match closed.last("closed") {
        Some(slug) => done(&app, slug, &facts.apps).await?,
        None => String::new(),
    };
    let copy = if is_watched && !matches!(facts.life, Life::Ended(..)) { status::read(&app).await? } else { None };
    let may_inspect = who.rights.may_inspect();
    let notices = match facts.life {
        Life::Ended(..) => db.list_notices_of(&[id]).await?,
        _ => HashMap::new(),
    };
    let told = |open: &EndedAppSession| {
        let notice = notices.get(&Uuid::try_parse(&open.uuid).ok()?)?;
        Some((notice_state(notice.state(now)), Moment::new(notice.at(), now)))
    };
    let apps = facts.apps.iter().map(|open| OpenApp {
        uuid: open.uuid.clone(),
        name: open.name.clone(),
        url: if may_inspect { format!("/applications/{}", open.slug) } else { String::new() },
        opened: open.hosts.iter().chain(open.client_id.as_ref()).cloned().collect(),
        since: Moment::new(open.created_at(), now),
        used: Moment::new(open.last_used_at(), now),
        tokens: facts.tokens.get(&open.uuid).into_iter().flatten().map(|token| token_line(token, now)).collect(),
        effect: takes_effect(open.ends_within(now)),
        told: told(open),
    });
    let template = SessionPage {
        shows_effect: !matches!(facts.life, Life::Ended(..)) || facts.apps.iter().any(|open| open.ends_within(now) > 0),
        apps: apps.collect(),
        is_told: !notices.is_empty(),
        may_close: is_live && !is_watched && who.may_end(facts.user_id),
        done,
        frame: visitor.frame(&app, if is_own { Section::Devices } else { Section::Sessions }),
        id,
        title: if facts.label.is_empty() { described.clone() } else { facts.label.clone() },
        device: Device::of(agent),
        agent: described,
        agent_text: agent.map(|agent| agent.text.clone()).unwrap_or_default(),
        user_url,
        place: whereabouts.place,
        network: network(&app, facts.ip),
        ip: facts.ip.to_string(),
        signed_in: Moment::new(facts.created_at, now),
        how: how(&facts),
        used: Moment::new(facts.last_used_at, now),
        is_current: who.session.as_ref().is_some_and(|session| session.uuid == id),
        is_own,
        may_end: who.rights.may_view_sessions && who.rights.may_delete_sessions,
        shows_others: who.rights.may_view_sessions && (is_watched || who.rights.may_delete_sessions),
        is_watched,
        at_source: facts.sign_in.as_ref().map(|sign_in| (Moment::new(sign_in.at, now), how_at_source(sign_in))),
        copy: copy.as_ref().map(CopyLine::new),
        events: events.iter().map(|event| EventLine::new(&app, event, now, seen_by)).collect(),
        others: others(&app, &facts, id, (pages.as_ref(), now)).await?,
        others_url: crate::ui::fleet::view::address("/sessions/all", &[("q", others_search)]),
        username: facts.username,
        life: facts.life,
    };
    Ok(page(StatusCode::OK, &template))
}

/// Finds a live or an ended session, if the caller may see it.
async fn facts(app: &App, who: &Principal, id: SessionId, now: Timestamp) -> Result<Facts, PageError> {
    let db = app.store.read();
    if let Some((detail, username)) = look::find_details(app, who, id).await? {
        let row = &detail.row;
        let open = db.list_app_sessions_of(&[id]).await?;
        let mut tokens = db.list_opened_tokens(&open.iter().map(|row| row.id).collect::<Vec<_>>(), now).await?;
        let named = |row: &AppSessionRow| Some((row.uuid.hyphenated().to_string(), tokens.remove(&row.id)?));
        let tokens = open.iter().filter_map(named).collect();
        let apps = open.into_iter().map(kept).collect();
        let ends = Moment::until(row.expires_at, now);
        return Ok(Facts {
            user_id: row.user_id,
            username,
            agent_id: row.user_agent_id,
            ip: row.last_ip,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            is_remembered: row.is_remembered,
            life: if row.expires_at > now { Life::Until(ends, why_ends(&detail)) } else { Life::Over(ends) },
            label: detail.sign_in.label,
            methods: detail.sign_in.methods,
            is_known_device: detail.sign_in.is_known_device,
            apps,
            tokens,
            source: None,
            sign_in: None,
        });
    }
    if let Some(watched) = look::find_watched(app, who, id).await? {
        return Ok(watched_facts(&watched, now));
    }
    let ended = db.find_ended_detail(id).await?.filter(|it| who.may_see(it.user_id)).ok_or(PageError::NotFound)?;
    Ok(Facts {
        user_id: ended.user_id,
        username: ended.username,
        label: ended.sign_in.label,
        agent_id: ended.user_agent_id,
        ip: ended.last_ip,
        created_at: ended.created_at,
        last_used_at: ended.last_used_at,
        methods: ended.sign_in.methods,
        is_known_device: ended.sign_in.is_known_device,
        is_remembered: false,
        life: Life::Ended(Moment::new(ended.ended_at, now), end_reason(&ended.reason, &ended.ended_by), ended.comment),
        apps: ended.applications,
        tokens: HashMap::new(),
        source: ended.source,
        sign_in: None,
    })
}

/// What is known of a session of the copy.
fn watched_facts(watched: &Watched, now: Timestamp) -> Facts {
    let (row, status) = (watched.listed(), &watched.source.status);
    let (last_used_at, expires_at) = (status.by_our_clock(row.last_used_at), status.by_our_clock(row.expires_at));
    let signed_in = |it: &WatchedSignIn| WatchedSignIn { at: status.by_our_clock(it.at), ..it.clone() };
    let ends = Moment::until(expires_at, now);
    Facts {
        user_id: row.user_id,
        username: watched.row.username.clone().unwrap_or_else(|| format!("user {}", row.user_id.0)),
        label: String::new(),
        agent_id: row.user_agent_id,
        ip: row.last_ip,
        created_at: row.created_at,
        last_used_at,
        methods: Methods::default(),
        is_known_device: false,
        is_remembered: false,
        life: if expires_at > now { Life::Until(ends, "") } else { Life::Over(ends) },
        apps: Vec::new(),
        tokens: HashMap::new(),
        source: row.source,
        sign_in: watched.row.sign_in.as_ref().map(signed_in),
    }
}

/// A token in words, with its end.
fn token_line(token: &OpenedToken, now: Timestamp) -> (String, String, Moment) {
    let kind = if token.kind == "refresh" { "refresh token" } else { "access token" };
    (kind.to_owned(), token.scope.clone(), Moment::until(token.expires_at, now))
}

/// How somebody signed in at authentik, such as ` with password, on a known device`.
fn how_at_source(sign_in: &WatchedSignIn) -> String {
    let with = match sign_in.method.as_str() {
        "" => String::new(),
        "auth_mfa" => " with password and a second factor".into(),
        "auth_webauthn_pwl" => " with passkey".into(),
        word => format!(" with {word}"),
    };
    let on = match sign_in.is_known_device {
        Some(true) => ", on a known device",
        Some(false) => ", on a device that was not known",
        None => "",
    };
    format!("{with}{on}")
}

/// The search for all sessions of the same person.
fn others_search(facts: &Facts) -> String {
    let user = query::token("user", &facts.username);
    if facts.source.is_some() { format!("{user} {}", query::token("source", NAME)) } else { user }
}

/// An app session of a live session, with what the history would keep of it.
fn kept(row: AppSessionRow) -> EndedAppSession {
    EndedAppSession {
        uuid: row.uuid.hyphenated().to_string(),
        slug: row.slug,
        name: row.name,
        hosts: row.hosts,
        client_id: row.client_id,
        created: row.created_at.0,
        last_used: row.last_used_at.0,
        jwt_until: row.jwt_until.0,
    }
}

/// What was just ended of an application, in a sentence. The address names the application by its slug, and the sentence
/// is shown only if the stored state agrees.
async fn done(app: &App, slug: &str, apps: &[EndedAppSession]) -> Result<String, StoreError> {
    let known = app.store.applications().await?.by_slug(slug).map(|application| application.name.clone());
    let name = known.filter(|_| !apps.iter().any(|open| open.slug == slug));
    Ok(name
        .map(|name| format!("{name} has ended here. The session goes on: the app opens again when it is visited."))
        .unwrap_or_default())
}

/// Ends one app session of a session, and leaves the session.
pub async fn end_app(State(app): State<App>, Path((uuid, opened)): Path<(String, String)>, request: Request) -> PageResult {
    let id = SessionId::parse(&uuid).ok_or(PageError::NotFound)?;
    let back = format!("/sessions/{id}");
    let submission = Submission::<NoFields>::signed_in(&app, request, &back).await?;
    let who = submission.visitor.principal(&back)?;
    let opened = Uuid::try_parse(&opened).map_err(|_| PageError::NotFound)?;
    let by = By::Principal(&who, &submission.visitor.actor());
    let filter = AppSessionFilter { session: Some(id), uuid: Some(opened), ..AppSessionFilter::default() };
    let (_, rows) = app_sessions::list(&app, by, filter, 0, 1).await?;
    // It has ended already, which was the purpose.
    let Some(row) = rows.into_iter().next() else { return Ok(Redirect::to(&back).into_response()) };
    if app.config.sessions.confirm_ends || row.user_id != who.user_id {
        submission.must_be_confirmed(&app, &back)?;
    }
    match app_sessions::end(&app, by, opened).await {
        Ok(()) | Err(ActionError::NotFound) => {
            Ok(Redirect::to(&crate::ui::fleet::view::address(&back, &[("closed", row.slug)])).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// How somebody signed in.
fn how(facts: &Facts) -> String {
    let methods = methods(facts.methods);
    let with = if methods.is_empty() { String::new() } else { format!(" with {methods}") };
    let from = if facts.is_known_device { ", on a known device" } else { "" };
    format!("{with}{from}{}", if facts.is_remembered { ", to stay signed in" } else { "" })
}

/// The organisation, the number and the network of an address.
fn network(app: &App, ip: Address) -> String {
    let Some(known) = app.geoip.autonomous_system(ip) else { return String::new() };
    let name = known.organization.map(|name| format!("{name}, ")).unwrap_or_default();
    format!("{name}AS{}, {}", known.number, known.network)
}

async fn others(
    app: &App,
    facts: &Facts,
    but: SessionId,
    (source, now): (Option<&SourcePages>, Timestamp),
) -> Result<Vec<Other>, StoreError> {
    let filter = match facts.source {
        None => SessionFilter { visible_to: Some(facts.user_id), ..SessionFilter::default() },
        // The page of a watched session is only for those who see all sessions. The history names its user by name.
        Some(_) => {
            SessionFilter { username: Some(facts.username.clone()), source: Some(Origin::Authentik), ..SessionFilter::default() }
        }
    };
    let sorts = [Sort { key: SortKey::LastUsed, is_descending: true }];
    let rows = app.store.page(&filter, &sorts, Wanted::first(SHOWN + 1)).await?.rows;
    let agents = app.user_agents.entries(&app.store.read(), rows.iter().map(|row| row.user_agent_id)).await?;
    let others = rows.iter().filter(|row| row.uuid != but).map(|row| {
        let agent = agents.get(&row.user_agent_id);
        Other {
            id: row.uuid,
            agent: describe(agent),
            device: Device::of(agent),
            place: Whereabouts::of(app, row.last_ip).place,
            used: Moment::new(source.map_or(row.last_used_at, |it| it.by_our_clock(row.last_used_at)), now),
        }
    });
    Ok(others.take(usize::try_from(SHOWN).unwrap_or(0)).collect())
}

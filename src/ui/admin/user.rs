//! `/users/{id}`: everything about one user, and the actions on them, for administrators.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::actions::policies;
use crate::actions::sign_in::factors;
use crate::domain::listing::{SessionFilter, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::password;
use crate::domain::{SessionId, Timestamp, UserId, query};
use crate::store::StoreError;
use crate::store::events::list::EventFilter;
use crate::store::people::groups::GroupRow;
use crate::store::people::tokens::TokenRow;
use crate::store::people::users::UserRow;
use crate::ui::account::devices::{Ended, ended};
use crate::ui::account::security::{FactorLine, factor_lines};
use crate::ui::admin::choices::{self, Attributes};
use crate::ui::error::{LAST_ADMINISTRATOR, PageError, conflict};
use crate::ui::fleet::view::address;
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::refusal::Refusal;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{Device, EventLine, Moment, Whereabouts, describe, isolate, plural};
use crate::ui::{Frame, PageResult, Section, page};

/// The address of the list of users.
pub(in crate::ui) const PATH: &str = "/users";
/// How many sessions, ended ones and events are shown.
const SESSIONS: i64 = 25;
const ENDED: i64 = 15;
const EVENTS: i64 = 50;
/// How many other users with the same e-mail address are named.
const SAME: i64 = 5;

#[derive(Template)]
#[template(path = "pages/user.html")]
struct UserPage {
    frame: Frame,
    user: UserRow,
    about: About,
    attributes: Attributes,
    /// Other users with the same e-mail address: keys and names.
    same_email: Vec<(i64, String)>,
    added: Moment,
    last_sign_in: Option<Moment>,
    count: i64,
    sessions: Vec<SessionLine>,
    sessions_url: String,
    end_url: String,
    ended: Vec<Ended>,
    tokens: Vec<TokenRow>,
    factors: Vec<FactorLine>,
    codes_left: i64,
    /// Whether they can sign in without a password.
    has_passkey: bool,
    events: Vec<EventLine>,
    events_url: String,
    is_self: bool,
    /// Whether a new password ends the user's sessions.
    is_ending: bool,
    error: String,
    /// A link that was just made, and how long it is valid.
    link: String,
    link_minutes: u64,
    shortest: usize,
}

/// What belongs to a user but sessions, factors and tokens.
struct About {
    kind: &'static str,
    path: String,
    is_email_verified: bool,
    /// Whether they are an administrator, by themselves or by a group.
    is_administrator: bool,
    /// Whether they are an auditor, by themselves or by a group.
    is_auditor: bool,
    /// The direct groups: uuid and name.
    groups: Vec<(Uuid, String)>,
    /// The groups that those are within.
    inherited: Vec<(Uuid, String)>,
    /// What they may do, in words.
    rights: Vec<String>,
    /// What the policies of the instance, the groups and the user together allow.
    policy: String,
    /// When they asked to be removed.
    removal_asked: Option<Moment>,
}

impl About {
    async fn of(app: &App, user: &UserRow) -> Result<(Self, Attributes), PageError> {
        let (db, now) = (app.store.read(), app.clock.now());
        let row = db.find_listed_user(user.id).await?.ok_or(PageError::NotFound)?;
        let all = db.list_all_groups_of(user.id).await?;
        let sources = db.list_permission_sources(user.id).await?;
        let is_direct = |group: &GroupRow| row.groups.iter().any(|direct| direct.id == group.id);
        let named = |group: &GroupRow| (group.uuid, group.name.clone());
        let attributes = Attributes::stored(&row.profile.attributes);
        let about = Self {
            kind: choices::type_words(row.profile.kind),
            is_email_verified: row.profile.is_email_verified,
            is_administrator: row.profile.is_administrator,
            is_auditor: row.is_auditor,
            groups: row.groups.iter().map(named).collect(),
            inherited: all.iter().filter(|group| !is_direct(group)).map(named).collect(),
            rights: choices::rights_words((user.is_superuser, row.profile.is_auditor), &all, &sources),
            policy: policies::limits(app, user.id).await?.effective().to_string(),
            removal_asked: row.profile.removal_asked_at.map(|at| Moment::new(at, now)),
            path: row.profile.path,
        };
        Ok((about, attributes))
    }
}

struct SessionLine {
    id: SessionId,
    agent: String,
    device: Device,
    place: String,
    ip: String,
    used: Moment,
    ends: Moment,
}

/// The page.
pub async fn show(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let id = user_id(&id)?;
    let user = {
        let who = visitor.principal(parts.uri.path())?;
        who.must_inspect()?;
        users::find_by_id(&app, By::Principal(&who, &visitor.actor()), id).await?
    };
    answer(&app, &visitor, user, String::new(), String::new()).await
}

/// The primary key in an address.
pub(in crate::ui) fn user_id(text: &str) -> Result<UserId, PageError> {
    text.parse().map(UserId).map_err(|_| PageError::NotFound)
}

/// The address of a user's page.
pub(in crate::ui) fn path(user: UserId) -> String {
    format!("{PATH}/{}", user.0)
}

async fn answer(app: &App, visitor: &Visitor, user: UserRow, error: String, link: String) -> PageResult {
    let (now, db) = (app.clock.now(), app.store.read());
    let (count, sessions) = sessions(app, user.id, now).await?;
    let gone = db.list_ended_of_user(user.id, ENDED).await?;
    let agents = app.user_agents.entries(&db, gone.iter().map(|row| row.user_agent_id)).await?;
    let ended = gone.iter().map(|row| {
        let agent = agents.get(&row.user_agent_id);
        ended(app, row, describe(agent), Device::of(agent), now)
    });
    let filter = EventFilter { user: Some(user.uuid), ..EventFilter::default() };
    let events = db.list_latest_events(&filter, EVENTS).await?;
    let search = query::token("user", &user.username);
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (about, attributes) = About::of(app, &user).await?;
    let factors = factor_lines(app, user.id).await?;
    let template = UserPage {
        frame: visitor.frame(app, Section::Users),
        about,
        attributes,
        same_email: db.list_same_email(&user.email, user.id, SAME).await?,
        added: Moment::new(user.created_at, now),
        last_sign_in: user.last_sign_in_at.map(|at| Moment::new(at, now)),
        count,
        sessions,
        sessions_url: address("/sessions/all", &[("q", search.clone())]),
        end_url: address("/sessions/all/end", &[("scope", "all".into()), ("q", search)]),
        ended: ended.collect(),
        tokens: db.list_tokens(Some(user.id)).await?,
        has_passkey: factors.iter().any(|factor| factor.is_passkey),
        factors,
        codes_left: db.count_recovery_codes(user.id).await?,
        events: events.iter().map(|event| EventLine::new(app, event, now, None)).collect(),
        events_url: address("/events", &[("user", user.username.clone())]),
        is_self: visitor.session.as_ref().is_some_and(|session| session.user_id == user.id),
        is_ending: app.config.sessions.end_on_password_change,
        error,
        link,
        link_minutes: app.sign_in.load().link_timeout.as_secs().div_ceil(60),
        shortest: password::MIN_LENGTH,
        user,
    };
    Ok(page(status, &template))
}

/// The page of a user who stays as they are, since no administrator would be left.
pub(in crate::ui) async fn last_administrator(app: &App, visitor: &Visitor, user: UserRow) -> PageResult {
    conflict(answer(app, visitor, user, LAST_ADMINISTRATOR.to_owned(), String::new()).await)
}

async fn sessions(app: &App, user: UserId, now: Timestamp) -> Result<(i64, Vec<SessionLine>), StoreError> {
    let db = app.store.read();
    let filter = SessionFilter { user: Some(user), ..SessionFilter::default() };
    let sorts = [Sort { key: SortKey::LastUsed, is_descending: true }];
    let found = app.store.page(&filter, &sorts, Wanted::first(SESSIONS)).await?;
    let agents = app.user_agents.entries(&db, found.rows.iter().map(|row| row.user_agent_id)).await?;
    let lines = found.rows.iter().map(|row| {
        let agent = agents.get(&row.user_agent_id);
        SessionLine {
            id: row.uuid,
            agent: describe(agent),
            device: Device::of(agent),
            place: Whereabouts::of(app, row.last_ip).place,
            ip: row.last_ip.to_string(),
            used: Moment::new(row.last_used_at, now),
            ends: Moment::until(row.expires_at, now),
        }
    });
    Ok((found.count, lines.collect()))
}

/// What the form for a password sends.
#[derive(Deserialize)]
pub(in crate::ui) struct PasswordForm {
    #[serde(default)]
    password: String,
}

/// Sets a user's password.
pub async fn set_password(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let Submission { visitor, form, .. } = Submission::<PasswordForm>::confirmed(&app, request, &path(id)).await?;
    let who = visitor.principal(PATH)?;
    let user = users::find_by_id(&app, By::Principal(&who, &visitor.actor()), id).await?;
    match users::set_password(&app, By::Principal(&who, &visitor.actor()), &user, form.password).await {
        Ok(()) => Ok(Redirect::to(&path(user.id)).into_response()),
        Err(ActionError::Rule(rule)) => answer(&app, &visitor, user, format!("Sorry: {rule}."), String::new()).await,
        Err(error) => Err(error.into()),
    }
}

/// Makes a recovery link. It is in the answer itself, not in a redirect or an address, so that it
/// is stored nowhere.
pub async fn make_link(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &path(id)).await?;
    let who = visitor.principal(PATH)?;
    let user = users::find_by_id(&app, By::Principal(&who, &visitor.actor()), id).await?;
    match users::make_recovery_link(&app, By::Principal(&who, &visitor.actor()), &user).await {
        Ok(key) => {
            let made = format!("{}/set-up/{}", visitor.client.public_origin(&app), key.expose());
            answer(&app, &visitor, user, String::new(), made).await
        }
        Err(ActionError::Rule(rule)) => answer(&app, &visitor, user, format!("Sorry: {rule}."), String::new()).await,
        Err(error) => Err(error.into()),
    }
}

/// The visitor of a page that asks before something is done to a user, and this user.
pub(super) async fn asked_about(app: &App, id: &str, request: Request) -> Result<(Visitor, UserRow), PageError> {
    let (visitor, who) = Visitor::administrator(app, request).await?;
    let user = users::find_by_id(app, By::Principal(&who, &visitor.actor()), user_id(id)?).await?;
    Ok((visitor, user))
}

/// The question before something that ends all sessions and tokens of a user. `action` is the last part of the
/// address that does it, `then` what else follows.
pub(super) async fn question_of_end(
    app: &App,
    user: UserRow,
    (verb, action): (&'static str, &str),
    then: &[&str],
) -> Result<Question, StoreError> {
    let (count, listed) = question::sessions(app, user.id, None).await?;
    let tokens = app.store.read().list_tokens(Some(user.id)).await?.len();
    let ends = [
        question::sessions_end(count, &isolate(&user.username)),
        format!("{tokens} token{} stop{} working.", plural(tokens), if tokens == 1 { "s" } else { "" }),
    ];
    Ok(Question {
        verb,
        follows: ends.into_iter().chain(then.iter().map(|it| (*it).to_owned())).collect(),
        heading: "These sessions will end",
        listed,
        count,
        action: format!("{}/{action}", path(user.id)),
        fields: Vec::new(),
        back: (path(user.id), user.username.clone()),
        object: user.username,
    })
}

/// Asks before a user is deactivated.
pub async fn ask_deactivate(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (visitor, user) = asked_about(&app, &id, request).await?;
    if !user.is_active {
        return Ok(Redirect::to(&path(user.id)).into_response());
    }
    let then = ["Nobody can sign in under this name until the user is made active again."];
    let question = question_of_end(&app, user, ("Deactivate", "active"), &then).await?;
    let question = Question { fields: vec![("active", "no".into())], ..question };
    Ok(question::ask(&app, &visitor, Section::Users, question))
}

/// What the button that activates or deactivates a user sends.
#[derive(Deserialize)]
pub(in crate::ui) struct ActiveForm {
    #[serde(default)]
    active: String,
}

/// Makes a user active or inactive.
pub async fn set_active(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let Submission { visitor, form, .. } = Submission::<ActiveForm>::confirmed(&app, request, &path(id)).await?;
    let who = visitor.principal(PATH)?;
    let user = users::find_by_id(&app, By::Principal(&who, &visitor.actor()), id).await?;
    let is_active = match form.active.as_str() {
        "yes" => true,
        "no" => false,
        _ => return Err(PageError::Forged(Refusal::Incomplete("it is not said whether the user shall be active".into()))),
    };
    match users::set_active(&app, By::Principal(&who, &visitor.actor()), &user, is_active).await {
        Ok(()) => Ok(Redirect::to(&path(user.id)).into_response()),
        Err(ActionError::LastAdministrator) => last_administrator(&app, &visitor, user).await,
        Err(error) => Err(error.into()),
    }
}

/// Asks before all second factors of a user are removed.
pub async fn ask_remove_factors(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (visitor, user) = asked_about(&app, &id, request).await?;
    let factors = factor_lines(&app, user.id).await?;
    let (sessions, _) = question::sessions(&app, user.id, None).await?;
    let question = Question {
        verb: "Remove",
        object: format!("all second factors of {}", isolate(&user.username)),
        follows: vec![
            "Until a new one is added, the password alone signs in. Recovery codes stop working.".into(),
            question::sessions_end(sessions, &isolate(&user.username)),
        ],
        heading: "These second factors will be removed",
        count: factors.len(),
        listed: factors.into_iter().map(|factor| format!("{} ({})", isolate(factor.name), factor.kind)).collect(),
        action: format!("{}/remove-factors", path(user.id)),
        fields: Vec::new(),
        back: (path(user.id), user.username),
    };
    Ok(question::ask(&app, &visitor, Section::Users, question))
}

/// Removes all second factors of a user who lost them.
pub async fn remove_factors(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let id = user_id(&id)?;
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &path(id)).await?;
    let who = visitor.principal(PATH)?;
    let user = users::find_by_id(&app, By::Principal(&who, &visitor.actor()), id).await?;
    match factors::remove_all(&app, By::Principal(&who, &visitor.actor()), user.id).await {
        Ok(_) => Ok(Redirect::to(&path(user.id)).into_response()),
        Err(ActionError::LastAdministrator) => last_administrator(&app, &visitor, user).await,
        Err(error) => Err(error.into()),
    }
}

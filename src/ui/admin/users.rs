//! `/users`: all users, for administrators; and `/users/new`, which adds one.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::changes::UserChange;
use crate::actions::people::users;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::password;
use crate::domain::people_lists::{UserFilter, UserSortKey};
use crate::domain::search::{MAX_TERMS, folded_terms};
use crate::domain::user::{MAX_USERNAME_LENGTH, UserType};
use crate::http::query::Query;
use crate::store::people::users::NewUser;
use crate::ui::admin::page_links::PageLinks;
use crate::ui::error::conflict;
use crate::ui::fleet::view::address;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::Moment;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/users";
/// The page with the form.
const NEW: &str = "/users/new";
const PAGE_SIZE: i64 = 50;

#[derive(Template)]
#[template(path = "pages/users.html")]
struct UsersPage {
    frame: Frame,
    search: String,
    /// The parameters that the search keeps.
    hidden: Vec<(&'static str, String)>,
    toggles: Vec<Toggle>,
    is_filtered: bool,
    rows: Vec<UserLine>,
    count: i64,
    pages: PageLinks,
}

/// A filter that is one link.
struct Toggle {
    words: &'static str,
    url: String,
    is_on: bool,
}

#[derive(Template)]
#[template(path = "pages/user_new.html")]
struct NewUserPage {
    frame: Frame,
    error: String,
    given: UserForm,
    longest: usize,
    shortest: usize,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a mark of the row")]
struct UserLine {
    id: i64,
    username: String,
    name: String,
    email: String,
    is_active: bool,
    /// By themselves or by a group.
    is_administrator: bool,
    /// By themselves or by a group.
    is_auditor: bool,
    has_factor: bool,
    sessions: i64,
    last_sign_in: Option<Moment>,
    is_removal_asked: bool,
}

/// What the form for a new user sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct UserForm {
    username: String,
    name: String,
    email: String,
    password: String,
    superuser: Option<String>,
    auditor: Option<String>,
}

/// The list, by name.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    list(&app, &visitor, &query).await
}

/// The form for a new user.
pub async fn show_form(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(NEW)?.must_administer()?;
    Ok(form_page(&app, &visitor, String::new(), UserForm::default()))
}

fn form_page(app: &App, visitor: &Visitor, error: String, given: UserForm) -> Response {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = visitor.frame(app, Section::Users);
    page(status, &NewUserPage { frame, error, given, longest: MAX_USERNAME_LENGTH, shortest: password::MIN_LENGTH })
}

/// A filter of the list that is one link: the parameter, its value, and what it is called.
const TOGGLES: [(&str, &str, &str); 8] = [
    ("admin", "yes", "Administrators"),
    ("auditor", "yes", "Auditors"),
    ("factor", "no", "Without a second factor"),
    ("signed_in", "never", "Never signed in"),
    ("active", "no", "Inactive"),
    ("active", "yes", "Active"),
    ("type", "service_account", "Programs"),
    ("removal", "asked", "Asked to be removed"),
];

/// The filter that a query asks for, and its parameters as they are understood.
fn read(query: &Query) -> (UserFilter, Vec<(&'static str, String)>) {
    let search = query.last("q").unwrap_or_default().trim().replace('\0', "");
    let is_on = |name: &str, value: &str| query.last(name) == Some(value);
    let either = |name: &str, yes: &str, no: &str| if is_on(name, yes) { Some(true) } else { is_on(name, no).then_some(false) };
    let filter = UserFilter {
        superuser: either("admin", "yes", "no"),
        auditor: either("auditor", "yes", "no"),
        second_factor: either("factor", "yes", "no"),
        never_signed_in: either("signed_in", "never", "once"),
        active: either("active", "yes", "no"),
        removal_asked: either("removal", "asked", "not_asked"),
        types: query.last("type").and_then(UserType::parse).into_iter().collect(),
        // A search of more words than are looked for finds what has the first of them.
        search: folded_terms(search.split_whitespace().take(MAX_TERMS)).unwrap_or_default(),
        ..UserFilter::default()
    };
    let mut parameters = Vec::new();
    if !search.is_empty() {
        parameters.push(("q", search));
    }
    for name in ["admin", "auditor", "factor", "signed_in", "active", "type", "removal"] {
        parameters.extend(query.last(name).filter(|value| !value.is_empty()).map(|value| (name, value.replace('\0', ""))));
    }
    (filter, parameters)
}

/// The links that switch filters on and off.
fn toggles(parameters: &[(&'static str, String)]) -> Vec<Toggle> {
    let toggles = TOGGLES.iter().map(|(name, value, words)| {
        let is_on = parameters.iter().any(|(known, given)| known == name && given == value);
        let mut others: Vec<(&str, String)> = parameters.iter().filter(|(known, _)| known != name).cloned().collect();
        if !is_on {
            others.push((name, (*value).to_owned()));
        }
        Toggle { words, url: address(PATH, &others), is_on }
    });
    toggles.collect()
}

async fn list(app: &App, visitor: &Visitor, query: &Query) -> PageResult {
    visitor.principal(PATH)?.must_inspect()?;
    let now = app.clock.now();
    let (filter, parameters) = read(query);
    let number = query.last("page").and_then(|text| text.parse().ok()).unwrap_or(1);
    let order = [Sort { key: UserSortKey::Username, is_descending: false }];
    let found = app.store.page(&filter, &order, Wanted::page_or_last(number, PAGE_SIZE)).await?;
    let (db, ids) = (app.store.read(), found.rows.iter().map(|row| row.profile.user.id).collect::<Vec<_>>());
    let counts = db.count_sessions_by_user(&ids.iter().map(|id| id.0).collect::<Vec<_>>()).await?;
    let with_factor = db.list_with_factor(&ids).await?;
    let rows = found.rows.iter().map(|row| {
        let user = &row.profile.user;
        UserLine {
            id: user.id.0,
            username: user.username.clone(),
            name: user.name.clone(),
            email: user.email.clone(),
            is_active: user.is_active,
            is_administrator: row.profile.is_administrator,
            is_auditor: row.is_auditor,
            has_factor: with_factor.contains(&user.id.0),
            sessions: counts.get(&user.id.0).copied().unwrap_or(0),
            last_sign_in: user.last_sign_in_at.map(|at| Moment::new(at, now)),
            is_removal_asked: row.profile.removal_asked_at.is_some(),
        }
    });
    let template = UsersPage {
        frame: visitor.frame(app, Section::Users),
        search: parameters.iter().find(|(name, _)| *name == "q").map(|(_, text)| text.clone()).unwrap_or_default(),
        hidden: parameters.iter().filter(|(name, _)| *name != "q").cloned().collect(),
        toggles: toggles(&parameters),
        is_filtered: !parameters.is_empty(),
        rows: rows.collect(),
        count: found.count,
        pages: PageLinks::of(PATH, &parameters, found.number, found.pages),
    };
    Ok(page(StatusCode::OK, &template))
}

/// Adds a user.
pub async fn add(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<UserForm>::confirmed(&app, request, NEW).await?;
    let who = visitor.principal(NEW)?;
    let user = NewUser {
        id: None,
        uuid: None,
        uid: None,
        username: form.username.trim().to_owned(),
        name: form.name.trim().to_owned(),
        email: form.email.trim().to_owned(),
        password_hash: None,
        is_active: true,
        is_superuser: form.superuser.is_some(),
        permissions: Vec::new(),
    };
    let more = UserChange { is_auditor: form.auditor.is_some().then_some(true), ..UserChange::default() };
    let password = Some(form.password.clone()).filter(|password| !password.is_empty());
    let error = match users::add_with(&app, By::Principal(&who, &visitor.actor()), user, password, more).await {
        Ok(id) => return Ok(Redirect::to(&format!("{PATH}/{}", id.0)).into_response()),
        Err(ActionError::Rule(rule)) => format!("Sorry: {rule}."),
        Err(ActionError::Exists(what)) => {
            return conflict(Ok(form_page(&app, &visitor, format!("Sorry: there is {what} already."), form)));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(form_page(&app, &visitor, error, form))
}

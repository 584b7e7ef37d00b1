//! `/users`: all users, for administrators; and `/users/new`, which adds one.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::domain::password;
use crate::domain::user::MAX_USERNAME_LENGTH;
use crate::http::query::Query;
use crate::store::people::users::NewUser;
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
    rows: Vec<UserLine>,
    /// The address of the next page, or `""`.
    next: String,
    is_first: bool,
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

struct UserLine {
    id: i64,
    username: String,
    name: String,
    email: String,
    is_active: bool,
    is_superuser: bool,
    sessions: i64,
    last_sign_in: Option<Moment>,
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

async fn list(app: &App, visitor: &Visitor, query: &Query) -> PageResult {
    visitor.principal(PATH)?.must_administer()?;
    let now = app.clock.now();
    let search = query.last("q").unwrap_or_default().trim().replace('\0', "");
    let after = query.last("after").unwrap_or_default().replace('\0', "");
    let is_first = after.is_empty();
    let part = search.clone();
    let read = app.store.long_read(move |db| {
        Box::pin(async move {
            let users = db.list_users_like(&part, &after, PAGE_SIZE + 1).await?;
            let ids: Vec<i64> = users.iter().map(|user| user.id.0).collect();
            Ok::<_, crate::store::StoreError>((db.count_sessions_by_user(&ids).await?, users))
        })
    });
    let (counts, users) = read.await?;
    let shown = usize::try_from(PAGE_SIZE).unwrap_or(0);
    let last = users.get(shown.saturating_sub(1)).filter(|_| users.len() > shown);
    let next = last.map(|last| {
        let mut parameters = vec![("after", last.username.clone())];
        if !search.is_empty() {
            parameters.insert(0, ("q", search.clone()));
        }
        address(PATH, &parameters)
    });
    let rows = users.iter().take(shown).map(|user| UserLine {
        id: user.id.0,
        username: user.username.clone(),
        name: user.name.clone(),
        email: user.email.clone(),
        is_active: user.is_active,
        is_superuser: user.is_superuser,
        sessions: counts.get(&user.id.0).copied().unwrap_or(0),
        last_sign_in: user.last_sign_in_at.map(|at| Moment::new(at, now)),
    });
    let template = UsersPage {
        frame: visitor.frame(app, Section::Users),
        rows: rows.collect(),
        next: next.unwrap_or_default(),
        is_first,
        search,
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
    let password = Some(form.password.clone()).filter(|password| !password.is_empty());
    let error = match users::add(&app, By::Principal(&who, &visitor.actor()), user, password).await {
        Ok(id) => return Ok(Redirect::to(&format!("{PATH}/{}", id.0)).into_response()),
        Err(ActionError::Rule(rule)) => format!("Sorry: {rule}."),
        Err(ActionError::Exists(what)) => {
            return conflict(Ok(form_page(&app, &visitor, format!("Sorry: there is {what} already."), form)));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(form_page(&app, &visitor, error, form))
}

//! `/applications`: all applications, for administrators; and `/applications/new`, which adds one.

pub mod client;
pub mod edit;
pub mod guard;
pub mod mine;
pub mod notices;
pub mod one;
mod part;
pub mod passwords;
pub mod rules;
mod said;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::{self, ApplicationChange};
use crate::actions::by::By;
use crate::domain::application::demand::Demand;
use crate::domain::application::guard::Guard;
use crate::domain::application::host::HostPattern;
use crate::domain::application::{Application, MAX_NAME_LENGTH, MAX_SLUG_LENGTH};
use crate::ui::applications::said::{HostLine, Names, allow_of, allowed};
use crate::ui::error::{PageError, conflict};
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/applications";
/// The page with the form.
const NEW: &str = "/applications/new";

/// The application of a slug.
async fn find(app: &App, slug: &str) -> Result<Arc<Application>, PageError> {
    app.store.applications().await?.by_slug(slug).cloned().ok_or(PageError::NotFound)
}

#[derive(Template)]
#[template(path = "pages/applications.html")]
struct ApplicationsPage {
    frame: Frame,
    rows: Vec<Line>,
}

struct Line {
    slug: String,
    name: String,
    hosts: Vec<HostLine>,
    allowed: Vec<String>,
    rules: usize,
}

#[derive(Template)]
#[template(path = "pages/application_new.html")]
struct NewApplicationPage {
    frame: Frame,
    error: String,
    given: NewForm,
    longest_slug: usize,
    longest_name: usize,
    /// Whether a guard can be made: Rollcall knows its own address.
    has_address: bool,
}

/// What the form for a new application sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct NewForm {
    slug: String,
    name: String,
    host: String,
    allow: String,
}

/// The list, by slug.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(PATH)?.must_inspect()?;
    let all = app.store.applications().await?;
    let mut rows = Vec::with_capacity(all.all().len());
    for application in all.all() {
        let names = Names::of(&app, application).await?;
        let guard = application.guard();
        rows.push(Line {
            slug: application.slug.clone(),
            name: application.name.clone(),
            hosts: guard.map(|guard| HostLine::all(&guard.hosts)).unwrap_or_default(),
            allowed: allowed(&application.access.allow, &names),
            rules: guard.map_or(0, |guard| guard.rules.len()),
        });
    }
    Ok(page(StatusCode::OK, &ApplicationsPage { frame: visitor.frame(&app, Section::Applications), rows }))
}

/// The form for a new application.
pub async fn show_form(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(NEW)?.must_administer()?;
    Ok(form_page(&app, &visitor, String::new(), NewForm::default()))
}

fn form_page(app: &App, visitor: &Visitor, error: String, given: NewForm) -> Response {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = NewApplicationPage {
        frame: visitor.frame(app, Section::Applications),
        error,
        given,
        longest_slug: MAX_SLUG_LENGTH,
        longest_name: MAX_NAME_LENGTH,
        has_address: app.config.http.public_url.is_some(),
    };
    page(status, &template)
}

/// Adds an application.
pub async fn add(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<NewForm>::confirmed(&app, request, NEW).await?;
    let who = visitor.principal(NEW)?;
    who.must_administer()?;
    let wanted = match read(&app, &form).await? {
        Ok(wanted) => wanted,
        Err(error) => return Ok(form_page(&app, &visitor, error, form)),
    };
    match applications::add(&app, By::Principal(&who, &visitor.actor()), wanted).await {
        Ok(application) => Ok(Redirect::to(&format!("{PATH}/{}", application.slug)).into_response()),
        Err(ActionError::Application(rule)) => Ok(form_page(&app, &visitor, format!("Sorry: {rule}."), form)),
        Err(ActionError::Exists(what)) => conflict(Ok(form_page(&app, &visitor, format!("Sorry: there is {what} already."), form))),
        Err(error) => Err(error.into()),
    }
}

/// The application that a form describes; or what is wrong with it, in a sentence.
async fn read(app: &App, form: &NewForm) -> Result<Result<ApplicationChange, String>, crate::store::StoreError> {
    let (slug, name) = (form.slug.trim().to_owned(), form.name.trim().to_owned());
    let guard = match form.host.trim() {
        "" => None,
        host => match HostPattern::parse(host) {
            Ok(host) => Some(Guard { hosts: vec![host], ..Guard::default() }),
            Err(rule) => return Ok(Err(format!("Sorry: {rule}."))),
        },
    };
    let allow = match allow_of(app, &form.allow).await? {
        Ok(allow) => allow,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(ApplicationChange {
        name: Some(if name.is_empty() { slug.clone() } else { name }),
        slug: Some(slug),
        access: Some(Demand { allow, ..Demand::default() }),
        guard: guard.map(Some),
        ..ApplicationChange::default()
    }))
}

//! `/applications/{slug}`: one application: its access, its rules, whether somebody may open an address, and who has it
//! open. Changes need a fresh proof.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::test::{Question, test};
use crate::actions::applications::{self, ApplicationChange, app_sessions};
use crate::actions::by::By;
use crate::domain::application::Application;
use crate::domain::application::demand::{Demand, Level};
use crate::domain::{Address, Method, Methods};
use crate::http::query::Query;
use crate::store::applications::app_sessions::AppSessionFilter;
use crate::ui::applications::PATH;
use crate::ui::applications::said::{Names, allow_of, allowed, asked};
use crate::ui::error::PageError;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::Moment;
use crate::ui::{Frame, PageResult, Section, page};

/// How many app sessions are shown.
const SESSIONS: i64 = 25;

#[derive(Template)]
#[template(path = "pages/application.html")]
struct ApplicationPage {
    frame: Frame,
    application: Arc<Application>,
    hosts: Vec<String>,
    rules: Vec<RuleLine>,
    /// The form of the access: who may, one in each line; the level; the age.
    allow: String,
    factor: &'static str,
    levels: Vec<&'static str>,
    max_age: String,
    app_passwords: bool,
    error: String,
    tried: Tried,
    answer: Option<AnswerLine>,
    count: i64,
    sessions: Vec<SessionLine>,
}

struct RuleLine {
    number: usize,
    paths: Vec<String>,
    methods: Vec<String>,
    networks: Vec<String>,
    asked: Vec<String>,
}

struct SessionLine {
    session: String,
    username: String,
    user: i64,
    hosts: Vec<String>,
    used: Moment,
}

/// What the form of the test was filled with.
#[derive(Default)]
struct Tried {
    user: String,
    url: String,
    from: String,
    methods: String,
    error: String,
}

struct AnswerLine {
    is_open: bool,
    rules: Vec<String>,
    missing: Vec<String>,
    headers: Vec<(String, String)>,
}

/// The page.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let who = visitor.principal(parts.uri.path())?;
    who.must_inspect()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let (tried, answer) = answer(&app, By::Principal(&who, &visitor.actor()), &query).await?;
    shown(&app, &visitor, &slug, String::new(), tried, answer).await
}

async fn find(app: &App, slug: &str) -> Result<Arc<Application>, PageError> {
    app.store.applications().await?.by_slug(slug).cloned().ok_or(PageError::NotFound)
}

async fn shown(app: &App, visitor: &Visitor, slug: &str, error: String, tried: Tried, answer: Option<AnswerLine>) -> PageResult {
    let application = find(app, slug).await?;
    let (names, now) = (Names::of(app, &application).await?, app.clock.now());
    let filter = AppSessionFilter { application: Some(application.slug.clone()), ..AppSessionFilter::default() };
    let who = visitor.principal(PATH)?;
    let (count, rows) = app_sessions::list(app, By::Principal(&who, &visitor.actor()), filter, 0, SESSIONS).await?;
    let rules = application.guard().map(|guard| guard.rules.as_slice()).unwrap_or_default();
    let rules = rules.iter().enumerate().map(|(at, rule)| RuleLine {
        number: at + 1,
        paths: rule.paths.iter().map(ToString::to_string).collect(),
        methods: rule.methods.clone(),
        networks: rule.if_network.iter().map(ToString::to_string).collect(),
        asked: asked(&rule.demand, &names),
    });
    let access = &application.access;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = ApplicationPage {
        frame: visitor.frame(app, Section::Applications),
        hosts: application.guard().map(|guard| guard.hosts.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        rules: rules.collect(),
        allow: allowed(&access.allow, &names).join("\n"),
        factor: access.factor.as_str(),
        levels: Level::ALL.map(Level::as_str).to_vec(),
        max_age: access.max_age.map(|age| humantime::format_duration(age).to_string()).unwrap_or_default(),
        app_passwords: access.app_passwords,
        error,
        tried,
        answer,
        count,
        sessions: rows
            .iter()
            .map(|row| SessionLine {
                session: row.session.to_string(),
                username: row.username.clone(),
                user: row.user_id.0,
                hosts: row.hosts.clone(),
                used: Moment::new(row.last_used_at, now),
            })
            .collect(),
        application: Arc::clone(&application),
    };
    Ok(page(status, &template))
}

/// What the query of the page asks: `url`, `user`, `from`, `methods`.
async fn answer(app: &App, by: By<'_>, query: &Query) -> Result<(Tried, Option<AnswerLine>), PageError> {
    let given = |name: &str| query.last(name).unwrap_or_default().trim().replace('\0', "");
    let mut tried =
        Tried { user: given("user"), url: given("url"), from: given("from"), methods: given("methods"), error: String::new() };
    if tried.url.is_empty() {
        return Ok((tried, None));
    }
    let from = Address::parse(&tried.from);
    if !tried.from.is_empty() && from.is_none() {
        tried.error = format!("Sorry: {} is not an address.", tried.from);
        return Ok((tried, None));
    }
    let user = match tried.user.as_str() {
        "" => None,
        name => match app.store.read().find_user_by_name(name).await? {
            Some(user) => Some(user.id),
            None => {
                tried.error = format!("Sorry: there is no user named {name}.");
                return Ok((tried, None));
            }
        },
    };
    let has = |method: &Method| tried.methods.split([',', ' ']).any(|word| word == method.as_str());
    let question = Question {
        user,
        url: tried.url.clone(),
        method: "GET".to_owned(),
        from,
        methods: Method::ALL.into_iter().filter(has).fold(Methods::default(), Methods::with),
        age: Some(Duration::ZERO),
    };
    match test(app, by, &question).await {
        Ok(answer) => {
            let line =
                AnswerLine { is_open: answer.is_open, rules: answer.rules(), missing: answer.missing(), headers: answer.headers };
            Ok((tried, Some(line)))
        }
        Err(ActionError::Application(rule)) => {
            tried.error = format!("Sorry: {rule}.");
            Ok((tried, None))
        }
        Err(error) => Err(error.into()),
    }
}

/// What the form of the access sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::ui) struct AccessForm {
    allow: String,
    factor: String,
    max_age: String,
    app_passwords: Option<String>,
    apply_now: Option<String>,
}

/// Changes the access of an application.
pub async fn set_access(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let back = format!("{PATH}/{slug}");
    let Submission { visitor, form, .. } = Submission::<AccessForm>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_administer()?;
    let before = find(&app, &slug).await?;
    let sorry = async |error: String| shown(&app, &visitor, &slug, error, Tried::default(), None).await;
    let max_age = match form.max_age.trim() {
        "" | "0" => None,
        text => match humantime::parse_duration(text) {
            Ok(age) => Some(age),
            Err(_) => return sorry(format!("Sorry: {text} is not a duration such as 30m, 12h or 1d.")).await,
        },
    };
    let allow = match allow_of(&app, &form.allow).await? {
        Ok(allow) => allow,
        Err(error) => return sorry(error).await,
    };
    let access = Demand {
        allow,
        factor: Level::parse(&form.factor).unwrap_or(before.access.factor),
        max_age,
        app_passwords: form.app_passwords.is_some(),
        ..before.access.clone()
    };
    let wanted = ApplicationChange { access: Some(access), apply_now: form.apply_now.is_some(), ..ApplicationChange::default() };
    match applications::change(&app, By::Principal(&who, &visitor.actor()), &slug, wanted).await {
        Ok(application) => Ok(Redirect::to(&format!("{PATH}/{}", application.slug)).into_response()),
        Err(ActionError::Application(rule)) => sorry(format!("Sorry: {rule}.")).await,
        Err(error) => Err(error.into()),
    }
}

//! `/consent`: a user says whether an app gets what it asks for. The question comes sealed to the user's session, so nobody else
//! asks it, and each is answered once.

use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::consents::{self, DECLINED, Question};
use crate::domain::oidc::claims::{OFFLINE, SCOPES, has};
use crate::http::page::Page;
use crate::http::query::Query;
use crate::store::sessions::rows::LiveSession;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/consent";

#[derive(Template)]
#[template(path = "pages/consent.html")]
struct ConsentPage {
    frame: Frame,
    /// The application's name.
    name: String,
    /// Where the browser goes on to.
    host: String,
    username: String,
    /// What it gets, in words.
    gets: Vec<&'static str>,
    /// Whether it may stay signed in while nobody uses it.
    is_offline: bool,
    /// How long it stays signed in after a sign-out; empty: it does not.
    stays: String,
    question: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(in crate::ui) struct ConsentForm {
    #[serde(default)]
    question: String,
    #[serde(default)]
    decision: String,
}

/// The question.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.signed_in(PATH)?;
    let sealed = Query::parse(parts.uri.query().unwrap_or_default()).last("question").unwrap_or_default().to_owned();
    let Some((question, known)) = opened(&app, session, &sealed).await? else { return Ok(over()) };
    let gets = SCOPES.iter().filter(|scope| scope.name != OFFLINE && has(&question.scope, scope.name));
    let shown = ConsentPage {
        name: known.application.name.clone(),
        host: host(&question),
        username: session.username.clone(),
        gets: gets.map(|scope| scope.words).collect(),
        is_offline: has(&question.scope, OFFLINE),
        stays: match known.settings()? {
            client if client.has_own_session(&question.scope) => {
                humantime::format_duration(Duration::from_secs(client.offline_lifetime)).to_string()
            }
            _ => String::new(),
        },
        question: sealed,
        frame: visitor.frame(&app, Section::Elsewhere),
    };
    Ok(page(StatusCode::OK, &shown))
}

/// The answer. Both lead back to the request.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<ConsentForm>::signed_in(&app, request, PATH).await?;
    let session = submission.visitor.signed_in(PATH)?;
    let Some((question, _)) = opened(&app, session, &submission.form.question).await? else { return Ok(over()) };
    let back = match submission.form.decision.as_str() {
        "allow" => {
            if !consents::give(&app, session, &question, &submission.visitor.actor()).await? {
                return Ok(over());
            }
            question.back
        }
        _ => format!("{}&{DECLINED}=1", question.back),
    };
    Ok(Redirect::to(&back).into_response())
}

async fn opened(app: &App, session: &LiveSession, sealed: &str) -> Result<Option<(Question, Known)>, crate::store::StoreError> {
    let Some(question) = consents::open(app, session, sealed) else { return Ok(None) };
    Ok(consents::asker(app, &question).await?.map(|known| (question, known)))
}

/// Where the browser goes on to: the host of the address in the request, or its scheme.
fn host(question: &Question) -> String {
    let query = Query::parse(question.back.split_once('?').map_or("", |(_, query)| query));
    let uri = query.last("redirect_uri").unwrap_or_default();
    match uri.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?']).next().unwrap_or_default().to_owned(),
        None => uri.split(':').next().unwrap_or_default().to_owned(),
    }
}

/// For a question that was answered, is too old, or is somebody else's.
fn over() -> Response {
    let texts = ["This question was answered, or is too old. Open the app again.".to_owned()];
    Page::new("There is nothing to answer", texts).id("oidc-error").answer(StatusCode::BAD_REQUEST)
}

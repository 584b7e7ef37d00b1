//! `/device`: a user types the code that a device shows, sees what asks, and says yes or no. The question is asked also where
//! the code was in the link, so that a link alone signs nobody's device in.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::oidc::device::{self, Asked};
use crate::domain::application::decide::Decision;
use crate::domain::oidc::claims::{SCOPES, has};
use crate::http::client::ClientInfo;
use crate::http::page::Page;
use crate::http::query::Query;
use crate::store::sessions::rows::LiveSession;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/device";
/// What a question is sealed for.
const PURPOSE: &str = "question of a device to a user";
const NO_SUCH: &str = "There is no such code, or its time is over. Look at the device, and type the code that it shows now.";

#[derive(Template)]
#[template(path = "pages/device.html")]
struct DevicePage {
    frame: Frame,
    /// The code to type; filled where the link had it.
    code: String,
    error: String,
    /// What asks; none: the code is not known yet.
    asks: Option<Asks>,
}

/// What the user of a session is asked.
struct Asks {
    name: String,
    username: String,
    gets: Vec<&'static str>,
    address: String,
    place: String,
    device: String,
    /// The code, sealed to the session.
    question: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(in crate::ui) struct DeviceForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    question: String,
    #[serde(default)]
    decision: String,
}

/// Where the page is shown again, with a code in it.
fn back(code: &str) -> String {
    format!("{PATH}?user_code={}", utf8_percent_encode(code, NON_ALPHANUMERIC))
}

fn form(app: &App, visitor: &Visitor, code: &str, error: &str) -> Response {
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = visitor.frame(app, Section::Elsewhere);
    page(status, &DevicePage { frame, code: code.to_owned(), error: error.to_owned(), asks: None })
}

/// The form.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let code = Query::parse(parts.uri.query().unwrap_or_default()).last("user_code").unwrap_or_default().to_owned();
    visitor.signed_in(&if code.is_empty() { PATH.to_owned() } else { back(&code) })?;
    Ok(form(&app, &visitor, &code, ""))
}

/// The code, or the answer to the question.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<DeviceForm>::signed_in(&app, request, PATH).await?;
    let (visitor, sent) = (&submission.visitor, &submission.form);
    let session = visitor.signed_in(PATH)?;
    let code = if sent.question.is_empty() { sent.code.clone() } else { opened(&app, session, &sent.question).unwrap_or_default() };
    let asked = match device::find(&app, session, &code, &visitor.actor()).await {
        Ok(asked) => asked,
        Err(ActionError::NotFound) => return Ok(form(&app, visitor, "", NO_SUCH)),
        Err(ActionError::Limited(wait)) => {
            let text = format!("Too many codes were wrong. The next one is looked at in {} seconds.", wait.as_secs().max(1));
            return Ok(form(&app, visitor, "", &text));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(client) = submission.parts.extensions.get::<ClientInfo>() else { return Ok(form(&app, visitor, "", NO_SUCH)) };
    match sent.decision.as_str() {
        "" => Ok(question(&app, visitor, session, &asked)),
        "allow" => {
            submission.must_be_confirmed(&app, &back(&code))?;
            let from = client.as_client(&submission.parts.headers);
            let decision = device::may(&app, session, &asked.known.application, &from).await?;
            if !decision.is_met() {
                return Ok(kept_out(&asked, &decision, &code));
            }
            told(device::answer(&app, session, &asked, true, &visitor.actor()).await?, true, &asked)
        }
        _ => told(device::answer(&app, session, &asked, false, &visitor.actor()).await?, false, &asked),
    }
}

fn sealed(app: &App, session: &LiveSession, code: &str) -> Option<String> {
    let sealed = app.instance_key.seal(PURPOSE, session.uuid.to_string().as_bytes(), code.as_bytes());
    sealed.ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

fn opened(app: &App, session: &LiveSession, question: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(question).ok()?;
    String::from_utf8(app.instance_key.open(PURPOSE, session.uuid.to_string().as_bytes(), &bytes)?).ok()
}

fn question(app: &App, visitor: &Visitor, session: &LiveSession, asked: &Asked) -> Response {
    let Some(question) = sealed(app, session, &asked.tidy) else { return form(app, visitor, "", NO_SUCH) };
    let gets = SCOPES.iter().filter(|scope| has(&asked.code.scope, scope.name)).map(|scope| scope.words);
    let asks = Asks {
        name: asked.known.application.name.clone(),
        username: session.username.clone(),
        gets: gets.collect(),
        address: asked.code.ip.to_string(),
        place: app.geoip.place(asked.code.ip).map(|place| place.describe()).unwrap_or_default(),
        device: asked.code.user_agent.clone(),
        question,
    };
    let frame = visitor.frame(app, Section::Elsewhere);
    page(StatusCode::OK, &DevicePage { frame, code: String::new(), error: String::new(), asks: Some(asks) })
}

/// A user who may not open the application, or has to prove more first.
fn kept_out(asked: &Asked, decision: &Decision, code: &str) -> Response {
    if decision.can_be_proved() {
        let age = decision.missing_age().map(|age| format!("&age={}", age.as_secs())).unwrap_or_default();
        let level = decision.missing_level().map(|level| format!("&level={}", level.as_str())).unwrap_or_default();
        let next = utf8_percent_encode(&back(code), NON_ALPHANUMERIC).to_string();
        return Redirect::to(&format!("/confirm?next={next}{age}{level}")).into_response();
    }
    let missing = decision.missing().iter().map(|missing| format!("{missing}."));
    let texts = [format!("You may not open {}.", asked.known.application.name)].into_iter().chain(missing);
    Page::new("This device cannot be signed in", texts).id("oidc-error").answer(StatusCode::FORBIDDEN)
}

#[expect(clippy::unnecessary_wraps, reason = "it ends a page's function")]
fn told(is_noted: bool, is_allowed: bool, asked: &Asked) -> PageResult {
    if !is_noted {
        let texts = ["This code was answered already, or its time is over.".to_owned()];
        return Ok(Page::new("There is nothing to answer", texts).id("oidc-error").answer(StatusCode::BAD_REQUEST));
    }
    let name = &asked.known.application.name;
    let (title, text) = if is_allowed {
        let goes_on = "you can go back to the device now. Its session is listed among yours, and can be ended there.";
        ("The device is signed in", format!("{name}: {goes_on}"))
    } else {
        ("The device is not signed in", name.clone())
    };
    Ok(Page::new(title, [text]).link("My sessions", "/sessions").answer(StatusCode::OK))
}

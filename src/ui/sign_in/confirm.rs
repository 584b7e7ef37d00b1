//! `/confirm`: a fresh proof of who the user is, for what needs one. Then on to the page that needed it, or
//! the form that was interrupted for it is done.

use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::Started;
use crate::actions::sign_in::confirm::{Again, Confirmation};
use crate::actions::sign_in::factors::Checked;
use crate::actions::sign_in::{confirm, factors, proof};
use crate::auth;
use crate::auth::redirect;
use crate::domain::application::demand::Level;
use crate::http::query::Query;
use crate::store::sessions::rows::LiveSession;
use crate::ui::error::PageError;
use crate::ui::passkey::{Ask, PasskeyForm, ask_to_confirm, party, why};
use crate::ui::sealed;
use crate::ui::sealed::Pending;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::code_refusal;
use crate::ui::{Frame, PageResult, Section, assets, page};

const PATH: &str = "/confirm";

#[derive(Template)]
#[template(path = "pages/confirm.html")]
struct ConfirmPage<'a> {
    frame: Frame,
    username: &'a str,
    next: &'a str,
    /// The form that is done next, sealed, or `""`.
    sealed: &'a str,
    error: &'a str,
    /// The session is used from elsewhere than it was proved.
    is_moved: bool,
    /// Whether they have a second factor, which they prove, too.
    has_factor: bool,
    ask: Option<Ask>,
    passkeys_js: &'static str,
}

/// What the form sends.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(in crate::ui) struct ConfirmForm {
    password: String,
    code: String,
    next: String,
    sealed: String,
}

/// Where a proof leads: to a page, or to a form that waits for it.
#[derive(Clone, Copy)]
struct Goal<'a> {
    next: &'a str,
    sealed: &'a str,
}

/// The form. With a fresh proof it goes on at once.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.holder(PATH)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let next = redirect::safe(&app.config, query.last("next"));
    let is_better_wanted = query.last("level").and_then(Level::parse).is_some_and(|level| Level::of(session.methods) < level);
    if is_better_wanted && !app.store.read().has_factor(session.user_id).await? {
        // There is nothing to prove it by: a factor is added first.
        return Ok(Redirect::to("/security").into_response());
    }
    let is_enough = is_enough(&app, session, &query);
    // A user who still has to add a second factor has none to prove, and goes on to where it is added.
    let must_prove = factors::is_missing(&app, session) && app.store.read().has_factor(session.user_id).await?;
    if visitor.unproved.is_none() && proof::is_fresh(&app, session) && is_enough && !must_prove {
        return Ok(Redirect::to(&next).into_response());
    }
    form(&app, &visitor, session, Goal { next: &next, sealed: "" }, "").await
}

/// Whether the proof of a session is as new and as good as an app asks for: `age` in seconds, and `level`. Both only ask
/// for more than [`proof::is_fresh`] does.
fn is_enough(app: &App, session: &LiveSession, query: &Query) -> bool {
    let now = app.clock.now();
    let age = query.last("age").map(|text| text.parse().map_or(Duration::ZERO, Duration::from_secs));
    let level = query.last("level").and_then(Level::parse).unwrap_or_default();
    let is_new = age.is_none_or(|age| session.proved_at <= now && now.since(session.proved_at) <= age);
    is_new && Level::of(session.methods) >= level
}

/// The form, in place of the answer to one that needs a fresh proof.
pub(in crate::ui) async fn interrupted(app: &App, parts: &Parts, pending: &Pending) -> PageResult {
    let visitor = Visitor::of(app, parts).await?;
    let session = visitor.holder(&pending.back)?;
    let back = redirect::safe(&app.config, Some(&pending.back));
    let mut response = form(app, &visitor, session, Goal { next: &back, sealed: &pending.sealed }, "").await?;
    // Nothing was done yet, and whatever sent the form without a person must see that.
    *response.status_mut() = StatusCode::FORBIDDEN;
    Ok(response)
}

/// Checks the password and gives the session a new key.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<ConfirmForm>::read(&app, request).await?;
    let (visitor, given) = (&submission.visitor, &submission.form);
    let session = visitor.holder(PATH)?;
    submission.check(&app)?;
    let next = redirect::safe(&app.config, Some(&given.next));
    let goal = Goal { next: &next, sealed: &given.sealed };
    let again = Again { password: given.password.clone(), code: given.code.clone() };
    let confirmed = confirm::confirm(&app, session, submission.keys(&app), again, &visitor.actor()).await;
    match confirmed {
        Err(ActionError::NotFound) => Err(PageError::SignedOut(next)),
        Err(error) => Err(error.into()),
        Ok(Confirmation::Wrong) if app.store.read().has_factor(session.user_id).await? => {
            form(&app, visitor, session, goal, "Your password or the code is wrong, or the code was used before.").await
        }
        Ok(Confirmation::Wrong) => form(&app, visitor, session, goal, "That is not your password.").await,
        Ok(Confirmation::Blocked(until)) => {
            let error = code_refusal(Checked::Blocked(until), app.clock.now());
            form(&app, visitor, session, goal, &error).await
        }
        Ok(Confirmation::Right(started)) => go_on(&app, session, goal, &started),
    }
}

/// `/confirm/passkey`: the same by a passkey.
pub async fn submit_passkey(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<PasskeyForm>::read(&app, request).await?;
    let (visitor, given) = (&submission.visitor, &submission.form);
    let session = visitor.holder(PATH)?;
    submission.check(&app)?;
    let next = redirect::safe(&app.config, Some(&given.next));
    let goal = Goal { next: &next, sealed: &given.sealed };
    let (party, keys) = (party(&app, visitor)?, submission.keys(&app));
    let answer = (given.passkey.as_str(), given.password.clone());
    match confirm::confirm_by_passkey(&app, &party, session, keys, answer, &visitor.actor()).await {
        Err(ActionError::NotFound) => Err(PageError::SignedOut(next)),
        Err(ActionError::Passkey(refusal)) => form(&app, visitor, session, goal, why(refusal)).await,
        Err(error) => Err(error.into()),
        Ok(started) => go_on(&app, session, goal, &started),
    }
}

/// Goes on with a fresh proof: to the page that needed it, or by the form that was sealed for it, which the
/// layer around the pages does ([`crate::ui::resume`]).
fn go_on(app: &App, session: &LiveSession, goal: Goal<'_>, started: &Started) -> PageResult {
    let mut response = match (goal.sealed, sealed::open(app, session.uuid, goal.sealed)) {
        ("", _) => Redirect::to(goal.next).into_response(),
        (_, Some(form)) => {
            let mut response = Redirect::to(goal.next).into_response();
            response.extensions_mut().insert(form);
            response
        }
        (_, None) => PageError::FormExpired.into_response(),
    };
    auth::keep_session(app, response.headers_mut(), started)?;
    Ok(response)
}

async fn form(app: &App, visitor: &Visitor, session: &LiveSession, goal: Goal<'_>, error: &str) -> PageResult {
    let has_factor = app.store.read().has_factor(session.user_id).await?;
    let frame = visitor.frame(app, Section::Elsewhere);
    let is_moved = visitor.unproved.is_some();
    let (ask, passkeys_js) = (ask_to_confirm(app, visitor, session).await?, assets::passkeys_js());
    let (username, Goal { next, sealed }) = (&session.username, goal);
    Ok(page(StatusCode::OK, &ConfirmPage { frame, username, next, sealed, error, is_moved, has_factor, ask, passkeys_js }))
}

//! `/watch/sessions/{uuid}/end`: asks before a session of the watched authentik ends, and shows what came of it.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::principal::Principal;
use crate::actions::sessions::end_matching::{MAX_COMMENT_LENGTH, is_comment};
use crate::actions::watch::{end, look};
use crate::domain::source::{AskedState, NOT_REACHED, ends_doubted};
use crate::domain::{SessionId, Timestamp};
use crate::store::watch::asked::AskedEnd;
use crate::store::watch::sessions::WatchedRow;
use crate::store::watch::sources::SourceRow;
use crate::ui::error::PageError;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, Whereabouts, describe};
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/watched_end.html")]
struct EndPage {
    frame: Frame,
    id: SessionId,
    /// The session as it was last copied; `None`: the copy does not have it any more.
    session: Option<Shown>,
    /// What was asked for within a day, and what came of it.
    asked: Option<Asked>,
    not_reached: &'static str,
    /// What is to be said of ends at this version, or `""`.
    doubt: &'static str,
    comment: String,
    error: String,
    longest: usize,
}

/// A session of the copy.
struct Shown {
    username: String,
    agent: String,
    place: String,
    ip: String,
    used: Moment,
    as_of: Moment,
}

/// An end that was asked for.
struct Asked {
    by: String,
    at: Moment,
    state: AskedState,
    detail: String,
    comment: String,
}

impl Asked {
    fn new(asked: AskedEnd, now: Timestamp) -> Self {
        let at = Moment::new(if asked.state.is_settled() { asked.settled_at } else { asked.asked_at }, now);
        Self { by: asked.actor, at, state: asked.state, detail: asked.detail, comment: asked.comment }
    }
}

/// What the form sends.
#[derive(Deserialize)]
pub(in crate::ui) struct EndForm {
    #[serde(default)]
    comment: String,
}

fn address(id: SessionId) -> String {
    format!("/watch/sessions/{id}/end")
}

/// Shows what will end, or what came of it. This page ends nothing.
pub async fn ask(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let id = SessionId::parse(&uuid).ok_or(PageError::NotFound)?;
    visitor.confirmed(&app, &address(id))?;
    let who = permitted(&visitor, id)?;
    answer(&app, &visitor, &who, id, (String::new(), String::new()), StatusCode::OK).await
}

/// Ends the session at authentik.
pub async fn submit(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> PageResult {
    let id = SessionId::parse(&uuid).ok_or(PageError::NotFound)?;
    let Submission { visitor, form, .. } = Submission::<EndForm>::confirmed(&app, request, &address(id)).await?;
    let who = permitted(&visitor, id)?;
    let comment = form.comment.trim().to_owned();
    if !is_comment(&comment) {
        let error = format!("A reason is one line of at most {MAX_COMMENT_LENGTH} characters.");
        return answer(&app, &visitor, &who, id, (String::new(), error), StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    match end::end_one(&app, By::Principal(&who, &visitor.actor()), id, &comment).await {
        Ok(_) | Err(ActionError::NotFound) => Ok(Redirect::to(&address(id)).into_response()),
        Err(ActionError::AtSource(refusal)) => {
            let rest = if refusal.is_certain() { " Nothing was ended." } else { "" };
            let error = format!("Sorry: {refusal}.{rest}");
            answer(&app, &visitor, &who, id, (comment, error), StatusCode::SERVICE_UNAVAILABLE).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The visitor, if they may see and end everybody's sessions.
fn permitted(visitor: &Visitor, id: SessionId) -> Result<Principal, PageError> {
    let who = visitor.principal(&address(id))?;
    who.must_see_all()?;
    if who.rights.may_delete_sessions { Ok(who) } else { Err(PageError::Forbidden) }
}

async fn answer(
    app: &App,
    visitor: &Visitor,
    who: &Principal,
    id: SessionId,
    (comment, error): (String, String),
    status: StatusCode,
) -> PageResult {
    let (actor, now) = (visitor.actor(), app.clock.now());
    let by = By::Principal(who, &actor);
    let (found, asked) = (known(look::find(app, by, id).await)?, known(look::find_asked(app, by, id).await)?);
    let source = found.as_ref().map(|(source, _)| source).or(asked.as_ref().map(|(source, _)| source));
    let doubt = ends_doubted(&source.ok_or(PageError::NotFound)?.status.version);
    let session = match &found {
        Some((source, row)) => Some(shown(app, source, row, now).await?),
        None => None,
    };
    let asked = asked.map(|(_, asked)| Asked::new(asked, now));
    let frame = visitor.frame(app, Section::Sessions);
    let longest = MAX_COMMENT_LENGTH;
    Ok(page(status, &EndPage { frame, id, session, asked, not_reached: NOT_REACHED, doubt, comment, error, longest }))
}

fn known<T>(found: Result<T, ActionError>) -> Result<Option<T>, ActionError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ActionError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn shown(app: &App, source: &SourceRow, row: &WatchedRow, now: Timestamp) -> Result<Shown, PageError> {
    let agents = app.user_agents.entries(&app.store.read(), [row.user_agent_id]).await?;
    Ok(Shown {
        username: row.shown_name(),
        agent: describe(agents.get(&row.user_agent_id)),
        place: Whereabouts::of(app, row.session.ip).place,
        ip: row.session.ip.to_string(),
        used: Moment::new(source.status.by_our_clock(row.session.last_used_at), now),
        as_of: Moment::new(source.status.seen_at, now),
    })
}

//! `/watch/ends/{name}`: the progress of an end of many sessions at the watched authentik, and the button that stops it.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::many;
use crate::actions::watch::many::JobView;
use crate::domain::source::{JobState, NOT_REACHED};
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::Moment;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/watched_ends.html")]
struct EndsPage {
    frame: Frame,
    view: JobView,
    began: Moment,
    not_reached: &'static str,
    may_stop: bool,
}

fn address(name: &str) -> String {
    format!("/watch/ends/{name}")
}

/// The progress, and the outcome.
pub async fn show(State(app): State<App>, Path(name): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let who = visitor.principal(&address(&name))?;
    who.must_see_all()?;
    let view = many::find(&app, By::Principal(&who, &visitor.actor()), &name).await?;
    let began = Moment::new(view.job.began_at, app.clock.now());
    let may_stop = who.rights.may_delete_sessions && view.job.state == JobState::Running;
    let frame = visitor.frame(&app, Section::Sessions);
    Ok(page(StatusCode::OK, &EndsPage { frame, view, began, not_reached: NOT_REACHED, may_stop }))
}

/// Tells the job to stop.
pub async fn stop(State(app): State<App>, Path(name): Path<String>, request: Request) -> PageResult {
    let back = address(&name);
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back).await?;
    let who = visitor.principal(&back)?;
    who.must_see_all()?;
    match many::stop(&app, By::Principal(&who, &visitor.actor()), &name).await {
        // It ended by itself, which the page shows.
        Ok(()) | Err(ActionError::NotFound) => Ok(Redirect::to(&back).into_response()),
        Err(error) => Err(error.into()),
    }
}

//! Ends many sessions: shows which sessions will end, asks for their number, and shows the
//! progress.

use std::collections::HashSet;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::end_job;
use crate::actions::sessions::end_job::{EndJob, EndJobState, EndJobView, EndTarget};
use crate::actions::sessions::end_matching::{EndError, MAX_COMMENT_LENGTH, is_comment};
use crate::actions::watch::many::{self, ManyEnds};
use crate::domain::SessionId;
use crate::domain::listing::SessionFilter;
use crate::domain::page::Wanted;
use crate::domain::source::{NAME, NOT_REACHED, ends_doubted};
use crate::domain::typed;
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::sessions::rows::SessionRow;
use crate::ui::error::{PageError, conflict};
use crate::ui::fleet::rows::{Look, RenderedRow};
use crate::ui::fleet::view::{Column, PATH, View};
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::grouped;
use crate::ui::{Frame, PageResult, Section, page};

/// The number of sessions on the page that asks.
const SHOWN: i64 = 8;
/// The most sessions that can be picked one by one.
const MOST_PICKED: usize = 500;
/// How long the answer waits for the end, so that a small end needs no second page.
const PATIENCE: Duration = Duration::from_millis(1500);

#[derive(Template)]
#[template(path = "pages/end_sessions.html")]
struct EndPage {
    frame: Frame,
    count: i64,
    users: i64,
    /// What is to be said of ends at the watched authentik; `None`: they are sessions of Rollcall.
    at_source: Option<AtSource>,
    rows: Vec<RenderedRow>,
    /// Whether there are more than are shown.
    is_more: bool,
    /// Those picked one by one, separated by commas; `""`: all that match.
    ids: String,
    /// The search, for all that match.
    query: String,
    back: String,
    /// Whether the requesting session is among them.
    has_own: bool,
    comment: String,
    error: String,
    longest: usize,
}

/// What the form sends.
#[derive(Deserialize)]
pub(in crate::ui) struct EndForm {
    #[serde(default)]
    ids: String,
    #[serde(default)]
    q: String,
    /// The number that was shown.
    #[serde(default)]
    expected: String,
    /// The number that the user typed.
    #[serde(default)]
    typed: String,
    #[serde(default)]
    comment: String,
    /// Whether to keep the requesting session.
    spare: Option<String>,
}

/// The sessions that a form asks to end.
struct Asked {
    look: Look,
    target: EndTarget,
    ids: String,
}

/// The sessions that will end.
struct Hit {
    count: i64,
    users: i64,
    rows: Vec<SessionRow>,
    has_own: bool,
}

impl Hit {
    /// These rows; `own` is the session that asks.
    fn of(rows: Vec<SessionRow>, own: Option<SessionId>) -> Self {
        let users: HashSet<i64> = rows.iter().map(|row| row.user_id.0).collect();
        let (count, users) = (i64::try_from(rows.len()).unwrap_or(0), i64::try_from(users.len()).unwrap_or(0));
        let has_own = rows.iter().any(|row| Some(row.uuid) == own);
        Self { count, users, rows, has_own }
    }
}

/// What is said before sessions of the watched authentik end.
struct AtSource {
    not_reached: &'static str,
    /// What is to be said of ends at its version, or `""`.
    doubt: &'static str,
}

impl AtSource {
    async fn of(app: &App, view: &View) -> Result<Option<Self>, StoreError> {
        let source = if view.is_watched() { app.store.read().find_source(NAME).await? } else { None };
        Ok(source.map(|source| Self { not_reached: NOT_REACHED, doubt: ends_doubted(&source.status.version) }))
    }
}

/// Shows which sessions will end. This page ends nothing.
pub async fn preview(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    visitor.confirmed(&app, &parts.uri.to_string())?;
    let ids = if query.last("scope") == Some("all") { Vec::new() } else { query.all("id").collect() };
    let asked = asked(&app, &visitor, View::of(&parts), &ids.join(",")).await?;
    if query.last("scope") != Some("all") && asked.ids.is_empty() {
        // Nothing was picked.
        return Ok(Redirect::to(&asked.look.view.url()).into_response());
    }
    answer(&app, &visitor, asked, String::new(), String::new()).await
}

/// Ends them, if the number typed is the number shown.
pub async fn submit(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<EndForm>::confirmed(&app, request, PATH).await?;
    let view = View::read(&Query::of(vec![("q".to_owned(), form.q.clone())]));
    let principal = visitor.principal(PATH)?;
    let mut asked = asked(&app, &visitor, view, &form.ids).await?;
    let comment = form.comment.trim().to_owned();
    let hit = hit(&app, &asked).await?;
    let own = visitor.session.as_ref().map(|session| session.uuid);
    let is_spared = form.spare.is_some() && hit.has_own;
    let expected: Option<i64> = form.expected.trim().parse().ok();
    let typed = typed::letters(&form.typed).unwrap_or_default();
    let is_typed = hit.count == 1 || (!typed.is_empty() && typed.parse().ok() == expected);
    if expected.is_none() || !is_typed {
        let error = format!("Type the number {} to confirm.", grouped(hit.count));
        return answer(&app, &visitor, asked, comment, error).await;
    }
    if !is_comment(&comment) {
        let error = format!("A reason is one line of at most {MAX_COMMENT_LENGTH} characters.");
        return answer(&app, &visitor, asked, String::new(), error).await;
    }
    let mut total = expected.unwrap_or_default();
    if is_spared {
        total -= 1;
        match &mut asked.target {
            EndTarget::Matching(filter) => filter.except = own,
            EndTarget::Named(ids) => ids.retain(|id| Some(*id) != own),
        }
    }
    let total = u64::try_from(total).unwrap_or(0);
    if asked.look.view.is_watched() {
        return end_at_source(&app, &visitor, asked, (total, comment)).await;
    }
    let job = end_job::begin(&app, &principal, asked.target, (total, comment), &visitor.actor()).await?;
    wait(&job).await;
    if let EndJobState::Changed(count) = job.state() {
        let asked = self::asked(&app, &visitor, asked.look.view, &asked.ids).await?;
        let error = format!("There are {} of them now, so nothing was ended. Look again.", grouped(count));
        return conflict(answer(&app, &visitor, asked, job.comment.clone(), error).await);
    }
    Ok(Redirect::to(&format!("{PATH}/ended/{}?{}", job.name, back_query(&form.q))).into_response())
}

/// Begins to end sessions of the watched authentik, and leads to the page that shows how far it is.
async fn end_at_source(app: &App, visitor: &Visitor, asked: Asked, (total, comment): (u64, String)) -> PageResult {
    let who = visitor.principal(PATH)?;
    let what = ManyEnds { which: asked.target.clone(), expected: Some(total), comment: comment.clone() };
    match many::begin(app, By::Principal(&who, &visitor.actor()), what).await {
        Ok(name) => Ok(Redirect::to(&format!("/watch/ends/{name}")).into_response()),
        Err(EndError::Changed(count)) => {
            let error = format!("There are {} of them now, so nothing was ended. Look again.", grouped(count));
            conflict(answer(app, visitor, asked, comment, error).await)
        }
        Err(EndError::Action(error)) => Err(error.into()),
        Err(EndError::Stopped { .. }) => Err(PageError::Unavailable),
    }
}

/// Waits a moment for the end.
async fn wait(job: &EndJob) {
    let began = tokio::time::Instant::now();
    while matches!(job.state(), EndJobState::Running(_)) && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn back_query(q: &str) -> String {
    let url = crate::ui::fleet::view::address("", &[("q", q.to_owned())]);
    if q.is_empty() { String::new() } else { url.trim_start_matches('?').to_owned() }
}

/// The requested end, if the visitor may do it.
async fn asked(app: &App, visitor: &Visitor, view: View, ids: &str) -> Result<Asked, PageError> {
    let mut look = crate::ui::fleet::look(visitor, view)?;
    if !visitor.rights.may_delete_sessions {
        return Err(PageError::Forbidden);
    }
    if let Some(mistakes) = look.view.query.mistakes() {
        return Err(mistakes.into());
    }
    if !look.view.may_be_ended() {
        return Err(ActionError::Elsewhere.into());
    }
    look.may_end = false; // The rows are shown, not picked.
    let ids: Vec<SessionId> = ids.split(',').filter_map(SessionId::parse).take(MOST_PICKED).collect();
    if ids.is_empty() {
        let filter = crate::ui::fleet::exact(app, visitor, &look.view).await?;
        return Ok(Asked { look, target: EndTarget::Matching(Box::new(filter)), ids: String::new() });
    }
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(Asked { look, target: EndTarget::Named(ids), ids: names.join(",") })
}

async fn hit(app: &App, asked: &Asked) -> Result<Hit, StoreError> {
    let own = asked.look.current;
    match asked.target.clone() {
        EndTarget::Named(ids) if asked.look.view.is_watched() => {
            let Some(source) = app.store.read().find_source(NAME).await? else { return Ok(Hit::of(Vec::new(), None)) };
            let rows = app.store.read().list_watched(source.id, &ids).await?;
            Ok(Hit::of(rows.iter().map(|row| row.listed(source.id)).collect(), None))
        }
        EndTarget::Named(ids) => {
            let details = app.store.read().list_session_details(&ids).await?;
            let rows: Vec<SessionRow> = details.into_iter().map(|detail| detail.row).collect();
            Ok(Hit::of(rows, own))
        }
        EndTarget::Matching(filter) => {
            let (sorts, now) = (asked.look.view.sorts(), app.clock.now());
            let found = app.store.page(&*filter, &sorts, Wanted::first(SHOWN)).await?;
            let users = app.store.count_facets(&filter, now).await?.users;
            let without = SessionFilter { except: own, ..(*filter).clone() };
            let own = own.filter(|_| !asked.look.view.is_watched());
            let has_own = own.is_some() && filter.except.is_none() && app.store.count_sessions(&without).await? < found.count;
            Ok(Hit { count: found.count, users, rows: found.rows, has_own })
        }
    }
}

async fn answer(app: &App, visitor: &Visitor, mut asked: Asked, comment: String, error: String) -> PageResult {
    let hit = hit(app, &asked).await?;
    let now = app.clock.now();
    let back = asked.look.view.url();
    asked.look.view.columns = vec![Column::Agent, Column::Place, Column::Used];
    let shown = hit.rows.get(..hit.rows.len().min(usize::try_from(SHOWN).unwrap_or(0))).unwrap_or_default();
    let rows = crate::ui::fleet::rows::render(app, &app.store.read(), shown, &asked.look, now).await?;
    let query = asked.look.view.query.to_string();
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = EndPage {
        frame: visitor.frame(app, Section::Sessions),
        back,
        count: hit.count,
        users: hit.users,
        at_source: AtSource::of(app, &asked.look.view).await?,
        is_more: hit.count > SHOWN,
        rows,
        ids: asked.ids,
        query,
        has_own: hit.has_own,
        comment,
        error,
        longest: MAX_COMMENT_LENGTH,
    };
    Ok(page(status, &template))
}

#[derive(Template)]
#[template(path = "pages/ended_sessions.html")]
struct EndedPage {
    frame: Frame,
    job: EndJobView,
    back: String,
    /// This page, for browsers without scripts.
    again: String,
}

/// The progress and the result.
pub async fn result(State(app): State<App>, Path(name): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let view = View::read(&Query::parse(parts.uri.query().unwrap_or_default()));
    let principal = visitor.principal(&view.url())?;
    let job = end_job::find(&app, &name, principal.user_id).await?;
    let frame = visitor.frame(&app, Section::Sessions);
    let again = parts.uri.to_string();
    Ok(page(StatusCode::OK, &EndedPage { frame, job, back: view.url(), again }))
}

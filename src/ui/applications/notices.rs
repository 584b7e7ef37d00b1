//! `/applications/{slug}/client/notices`: whether the app of a client was told of ends: what waits, what failed, and a test.
//! `…/send` has what waits sent now; `…/drop` asks before it is dropped.

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::notices::{self, Tested};
use crate::domain::application::Application;
use crate::domain::oidc::notice::{NoticeState, UNREACHABLE};
use crate::domain::{SessionId, Timestamp};
use crate::store::oidc::notices::{NoticeRow, NoticeSummary};
use crate::ui::applications::{PATH, find};
use crate::ui::error::PageError;
use crate::ui::question::{self, Question};
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, grouped, notice_state, plural};
use crate::ui::{Frame, PageResult, Section, page};

/// How many notices in each state are shown.
const SHOWN: i64 = 20;

#[derive(Template)]
#[template(path = "pages/application_notices.html")]
struct NoticesPage {
    frame: Frame,
    slug: String,
    name: String,
    /// Where the app is told; `None`: nowhere.
    target: Option<String>,
    state: Delivery,
    /// What a test came to.
    tested: Option<Tested>,
    rows: Vec<NoticeLine>,
}

/// What became of what an app is told.
pub(super) struct Delivery {
    /// How many wait or are under way.
    pub waiting: i64,
    /// How many were given up.
    pub given_up: i64,
    /// How many were delivered today.
    pub delivered: i64,
    /// Since when the oldest that waits is owed.
    pub oldest: Option<Moment>,
    /// When the app was last told.
    pub told: Option<Moment>,
    /// When a try last failed, and why.
    pub failed: Option<(Moment, String)>,
    /// Whether it cannot be reached: when it is tried next.
    pub rests: Option<Moment>,
}

impl Delivery {
    /// In the words of a page.
    pub fn of(summary: NoticeSummary, now: Timestamp) -> Self {
        let NoticeSummary { waiting, given_up, delivered, oldest, line } = summary;
        let known = |at: Timestamp| Some(at).filter(|at| at.0 > 0);
        let is_unreachable = line.failures >= UNREACHABLE;
        Self {
            waiting,
            given_up,
            delivered,
            oldest: oldest.map(|at| Moment::new(at, now)),
            told: known(line.told_at).map(|at| Moment::new(at, now)),
            failed: known(line.failed_at).map(|at| (Moment::new(at, now), line.failed)),
            rests: Some(line.rests_until).filter(|_| is_unreachable).map(|at| Moment::until(at, now)),
        }
    }
}

/// What became of telling the app of an end.
struct NoticeLine {
    session: SessionId,
    state: &'static str,
    is_bad: bool,
    tries: i64,
    at: Moment,
    /// When it is tried next.
    next: Option<Moment>,
    said: String,
}

impl NoticeLine {
    fn of(row: &NoticeRow, now: Timestamp) -> Self {
        let state = row.state(now);
        Self {
            session: row.session,
            state: notice_state(state),
            is_bad: state == NoticeState::GivenUp,
            tries: row.tries,
            at: Moment::new(row.at(), now),
            next: row.next_try(now).map(|at| Moment::until(at, now)),
            said: row.said.clone(),
        }
    }
}

async fn shown(app: &App, visitor: &Visitor, application: &Application, tested: Option<Tested>) -> PageResult {
    let part = application.client.as_ref().ok_or(PageError::NotFound)?;
    let who = visitor.principal(PATH)?;
    let (summary, rows) = notices::summary(app, By::Principal(&who, &visitor.actor()), application.id, SHOWN).await?;
    let now = app.clock.now();
    let template = NoticesPage {
        frame: visitor.frame(app, Section::Applications),
        slug: application.slug.clone(),
        name: application.name.clone(),
        target: part.client.back_channel_uri.as_ref().map(ToString::to_string),
        state: Delivery::of(summary, now),
        tested,
        rows: rows.iter().map(|row| NoticeLine::of(row, now)).collect(),
    };
    Ok(page(StatusCode::OK, &template))
}

/// The page.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(parts.uri.path())?.must_inspect()?;
    let application = find(&app, &slug).await?;
    shown(&app, &visitor, &application, None).await
}

fn back(slug: &str) -> String {
    format!("{PATH}/{slug}/client/notices")
}

/// Sends the app a message about a session that there never was, and shows what it answered.
pub async fn test(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back(&slug)).await?;
    let who = visitor.principal(&back(&slug))?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    let tested = notices::test(&app, By::Principal(&who, &visitor.actor()), &slug).await?;
    shown(&app, &visitor, &application, Some(tested)).await
}

/// Has sent now what waits or was given up.
pub async fn send(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back(&slug)).await?;
    let who = visitor.principal(&back(&slug))?;
    who.must_administer()?;
    let filter = notices::of_application(&app, &find(&app, &slug).await?.slug).await?;
    notices::send(&app, By::Principal(&who, &visitor.actor()), filter).await?;
    Ok(Redirect::to(&back(&slug)).into_response())
}

/// Asks before what waits or was given up is dropped.
pub async fn ask_drop(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let who = visitor.principal(parts.uri.path())?;
    who.must_administer()?;
    let application = find(&app, &slug).await?;
    let by = visitor.actor();
    let (summary, _) = notices::summary(&app, By::Principal(&who, &by), application.id, 0).await?;
    let count = summary.waiting + summary.given_up;
    let (owed, is) = (format!("{} end{}", grouped(count), plural(count)), if count == 1 { "is" } else { "are" });
    let question = Question {
        verb: "Drop",
        object: format!("what {} is to be told", application.name),
        follows: vec![
            format!("The app is not told of {owed}, which {is} waiting or given up."),
            "A sign-in that the app keeps by itself goes on there.".to_owned(),
        ],
        heading: "",
        count: 0,
        listed: Vec::new(),
        action: format!("{}/drop", back(&slug)),
        fields: Vec::new(),
        back: (back(&slug), "what the app is told".to_owned()),
    };
    Ok(question::ask(&app, &visitor, Section::Applications, question))
}

/// Drops what waits or was given up.
pub async fn drop_them(State(app): State<App>, Path(slug): Path<String>, request: Request) -> PageResult {
    let Submission { visitor, .. } = Submission::<NoFields>::confirmed(&app, request, &back(&slug)).await?;
    let who = visitor.principal(&back(&slug))?;
    who.must_administer()?;
    let filter = notices::of_application(&app, &find(&app, &slug).await?.slug).await?;
    notices::drop_them(&app, By::Principal(&who, &visitor.actor()), filter).await?;
    Ok(Redirect::to(&back(&slug)).into_response())
}

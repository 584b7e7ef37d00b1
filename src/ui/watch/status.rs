//! `/watch`: the watched authentik: how fresh the copy is, the latest alerts, and ends of many sessions.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::many;
use crate::actions::watch::many::JobView;
use crate::actions::watch::status::{CopyStatus, status};
use crate::domain::event::EventKind;
use crate::domain::source::{NOT_REACHED, ends_doubted};
use crate::store::events::list::EventFilter;
use crate::ui::error::PageError;
use crate::ui::visitor::Visitor;
use crate::ui::words::{EventLine, Moment};
use crate::ui::{Frame, PageResult, Section, page};

/// How many alerts are shown.
const SHOWN: i64 = 50;

#[derive(Template)]
#[template(path = "pages/watch.html")]
struct WatchPage {
    frame: Frame,
    copy: CopyStatus,
    as_of: Option<Moment>,
    doubt: &'static str,
    not_reached: &'static str,
    events: Vec<EventLine>,
    jobs: Vec<(JobView, Moment)>,
}

/// The page, for administrators and auditors.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let who = visitor.principal("/watch")?;
    let (actor, now) = (visitor.actor(), app.clock.now());
    let by = By::Principal(&who, &actor);
    let copy = status(&app, by).await?.ok_or(PageError::NotFound)?;
    let filter = EventFilter { kind: Some(EventKind::SourceAlert.as_str().to_owned()), ..EventFilter::default() };
    let events = app.store.read().list_latest_events(&filter, SHOWN).await?;
    let jobs = many::list(&app, by).await?;
    let seen_at = copy.source.status.seen_at;
    let template = WatchPage {
        frame: visitor.frame(&app, Section::Sessions),
        as_of: (seen_at.0 > 0).then(|| Moment::new(seen_at, now)),
        doubt: ends_doubted(&copy.source.status.version),
        not_reached: NOT_REACHED,
        events: events.iter().map(|event| EventLine::new(&app, event, now, None)).collect(),
        jobs: jobs.into_iter().map(|view| (Moment::new(view.job.began_at, now), view)).map(|(at, view)| (view, at)).collect(),
        copy,
    };
    Ok(page(StatusCode::OK, &template))
}

//! `/account/activity`: what happened to a user's own account, and who tried to get into it.

use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use uuid::Uuid;

use crate::actions::app::App;
use crate::domain::Timestamp;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::events::query::{EventOrder, EventQuery, FAILED_KINDS};
use crate::store::events::rows::EventRow;
use crate::ui::admin::page_links::PageLinks;
use crate::ui::visitor::Visitor;
use crate::ui::words::EventLine;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/account/activity";
const PAGE_SIZE: i64 = 50;
/// For how many days the account page counts failed attempts.
pub(super) const LATE_DAYS: u64 = 30;
/// The latest first.
const ORDER: [Sort<EventOrder>; 1] = [Sort { key: EventOrder::At, is_descending: true }];

#[derive(Template)]
#[template(path = "pages/account_activity.html")]
struct ActivityPage {
    frame: Frame,
    /// Whether only failed attempts are listed.
    is_failed: bool,
    events: Vec<EventLine>,
    pages: PageLinks,
}

/// Events about a user; or only attempts that failed: wrong passwords, codes and passkeys, refused sign-ins, and limits
/// on guesses that were reached.
fn about(user: Uuid, is_failed: bool) -> EventQuery {
    let kinds = || FAILED_KINDS.into_iter().chain(["sign_in_limited"]).map(str::to_owned).collect();
    EventQuery { user: Some(user), kinds: is_failed.then(kinds), ..EventQuery::default() }
}

/// The latest events about a user.
pub(super) async fn latest(app: &App, user: Uuid, limit: i64) -> Result<Vec<EventRow>, StoreError> {
    app.store.first_events(about(user, false), ORDER.to_vec(), limit).await
}

/// How many failed attempts there were in the last [`LATE_DAYS`] days.
pub(super) async fn count_failed(app: &App, user: Uuid, now: Timestamp) -> Result<i64, StoreError> {
    let from = now.minus(Duration::from_secs(LATE_DAYS * 86_400));
    let query = EventQuery { from: Some(from), ..about(user, true) };
    Ok(app.store.page(&query, &ORDER, Wanted::first(1)).await?.count)
}

/// The list, the latest first.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.signed_in(PATH)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let (is_failed, db) = (query.last("only") == Some("failed"), app.store.read());
    let number = query.last("page").and_then(|text| text.parse().ok()).unwrap_or(1);
    let Some(user) = db.find_user_uuid(session.user_id).await? else {
        return Err(crate::ui::error::PageError::NotFound);
    };
    let found = app.store.page(&about(user, is_failed), &ORDER, Wanted::page_or_last(number, PAGE_SIZE)).await?;
    let (now, seen_by) = (app.clock.now(), Some(session.user_id));
    let parameters: &[(&str, String)] = if is_failed { &[("only", "failed".to_owned())] } else { &[] };
    let shown = ActivityPage {
        frame: visitor.frame(&app, Section::Account),
        is_failed,
        events: found.rows.iter().map(|event| EventLine::new(&app, event, now, seen_by)).collect(),
        pages: PageLinks::of(PATH, parameters, found.number, found.pages),
    };
    Ok(page(StatusCode::OK, &shown))
}

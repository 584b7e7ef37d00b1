//! `/apps`: My apps: what the user may open, and where it is open.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::actions::applications::access;
use crate::actions::by::By;
use crate::store::applications::app_sessions::AppSessionFilter;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/apps";
/// The most app sessions that are counted.
const MOST: i64 = 1000;

#[derive(Template)]
#[template(path = "pages/apps.html")]
struct AppsPage {
    frame: Frame,
    rows: Vec<Line>,
}

struct Line {
    name: String,
    description: String,
    group: String,
    /// Where it is opened, or `""`.
    url: String,
    in_new_tab: bool,
    /// In how many of the user's sessions it is open.
    open: usize,
}

/// The page: by heading, then by name. Hidden applications are left out.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let who = visitor.principal(PATH)?;
    let allowed = access::list_allowed(&app, By::Principal(&who, &visitor.actor()), who.user_id).await?;
    let filter = AppSessionFilter { user: Some(who.user_id), ..AppSessionFilter::default() };
    let open = app.store.read().list_app_sessions(&filter, 0, MOST).await?;
    let mut rows: Vec<Line> = allowed
        .iter()
        .filter(|application| !application.display.is_hidden)
        .map(|application| Line {
            name: application.name.clone(),
            description: application.display.description.clone(),
            group: application.display.group.clone(),
            url: application.launch_url().unwrap_or_default(),
            in_new_tab: application.display.open_in_new_tab,
            open: open.iter().filter(|row| row.application_id == application.id).count(),
        })
        .collect();
    rows.sort_by(|one, other| (&one.group, &one.name).cmp(&(&other.group, &other.name)));
    Ok(page(StatusCode::OK, &AppsPage { frame: visitor.frame(&app, Section::Apps), rows }))
}

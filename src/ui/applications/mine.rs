//! `/apps`: My apps: what the user may open, where it is open, and what it was allowed.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::applications::access;
use crate::actions::by::By;
use crate::actions::oidc::consents;
use crate::domain::UserId;
use crate::domain::oidc::claims::{SCOPES, has};
use crate::store::StoreError;
use crate::store::applications::app_sessions::AppSessionFilter;
use crate::store::oidc::consents::ConsentRow;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::words::Moment;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/apps";
/// The most app sessions that are counted.
const MOST: i64 = 1000;

#[derive(Template)]
#[template(path = "pages/apps.html")]
struct AppsPage {
    frame: Frame,
    rows: Vec<Line>,
    allowed: Vec<Allowed>,
}

/// What the user allowed an app.
struct Allowed {
    slug: String,
    name: String,
    /// In words.
    what: String,
    since: Moment,
}

/// What the form to withdraw it sends.
#[derive(Deserialize)]
pub(in crate::ui) struct WithdrawForm {
    #[serde(default)]
    app: String,
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
    let allowed = list_allowed(&app, who.user_id).await?;
    Ok(page(StatusCode::OK, &AppsPage { frame: visitor.frame(&app, Section::Apps), rows, allowed }))
}

async fn list_allowed(app: &App, user: UserId) -> Result<Vec<Allowed>, StoreError> {
    let words = |scope: &str| {
        let known = SCOPES.iter().filter(|known| has(scope, known.name));
        known.map(|known| known.words).collect::<Vec<_>>().join(", ")
    };
    let rows = app.store.read().list_consents(user).await?;
    let line = |row: ConsentRow| Allowed {
        slug: row.slug,
        name: row.name,
        what: words(&row.scope),
        since: Moment::new(row.given_at, app.clock.now()),
    };
    Ok(rows.into_iter().map(line).collect())
}

/// Takes back what an app was allowed, and ends it where it is open.
pub async fn withdraw(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<WithdrawForm>::signed_in(&app, request, PATH).await?;
    let who = submission.visitor.principal(PATH)?;
    let by = By::Principal(&who, &submission.visitor.actor());
    consents::withdraw(&app, by, who.user_id, &submission.form.app).await?;
    Ok(Redirect::to(PATH).into_response())
}

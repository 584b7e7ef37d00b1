//! `/users/import`: adds the users of a CSV file. The first answer shows what would be added, or every line that is wrong;
//! only the second form stores anything.

use askama::Template;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use serde::Deserialize;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::csv_import::{self, Preview};
use crate::domain::csv_users::{COLUMNS, Fault, MOST_ROWS, UserRecord};
use crate::ui::admin::choices::Attributes;
use crate::ui::admin::user;
use crate::ui::error::conflict;
use crate::ui::submission::Submission;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/users/import";
/// The longest form: a file of the most rows, encoded.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The longest file that waits for a proof: sealed, it stays within the bound of other forms.
const MOST_SEALED: usize = 8 * 1024;
/// How many users and faults are shown.
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "pages/user_import.html")]
struct ImportPage {
    frame: Frame,
    csv: String,
    /// What was found; `None`: nothing was sent yet.
    preview: Option<Found>,
    most: usize,
}

/// A user of the file, as the preview shows them.
struct Line {
    user: UserRecord,
    attributes: Attributes,
}

struct Found {
    lines: Vec<Line>,
    /// Whether the file says this of any user.
    has_types: bool,
    has_paths: bool,
    has_attributes: bool,
    count: usize,
    faults: Vec<Fault>,
    fault_count: usize,
}

impl Line {
    fn of(user: UserRecord) -> Self {
        Self { attributes: Attributes::of(&user.attributes.clone().unwrap_or_default()), user }
    }
}

impl Found {
    fn of(preview: Preview) -> Self {
        let Preview { users, mut faults } = preview;
        let (count, fault_count) = (users.len(), faults.len());
        faults.truncate(SHOWN);
        Self {
            has_types: users.iter().any(|user| user.kind.is_some()),
            has_paths: users.iter().any(|user| user.path.is_some()),
            has_attributes: users.iter().any(|user| user.attributes.is_some()),
            lines: users.into_iter().take(SHOWN).map(Line::of).collect(),
            count,
            faults,
            fault_count,
        }
    }
}

/// What the forms send.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ImportForm {
    csv: String,
    /// `yes`: it was previewed, and is stored now.
    store: String,
}

/// The address, with a bound of its own on the form.
pub fn address() -> MethodRouter<App> {
    get(show).post(submit).layer(DefaultBodyLimit::max(MOST_BYTES))
}

fn answer(app: &App, visitor: &Visitor, csv: String, preview: Option<Preview>) -> Response {
    let is_wrong = preview.as_ref().is_some_and(|preview| !preview.faults.is_empty());
    let status = if is_wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let frame = visitor.frame(app, Section::Users);
    page(status, &ImportPage { frame, csv, preview: preview.map(Found::of), most: MOST_ROWS })
}

/// The form. It asks for the proof first: a long file is not kept while a proof is asked for.
async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(PATH)?.must_administer()?;
    visitor.confirmed(&app, PATH)?;
    Ok(answer(&app, &visitor, String::new(), None))
}

/// Shows what would be added, or adds it.
async fn submit(State(app): State<App>, request: Request) -> PageResult {
    // Nobody else's file is read at all: it may be long.
    let (parts, body) = request.into_parts();
    Visitor::of(&app, &parts).await?.principal(PATH)?.must_administer()?;
    let request = Request::from_parts(parts, body);
    let submission = Submission::<ImportForm>::signed_in(&app, request, PATH).await?;
    if submission.form.csv.len() <= MOST_SEALED {
        submission.must_be_confirmed(&app, PATH)?;
    }
    let Submission { visitor, form, .. } = submission;
    visitor.confirmed(&app, PATH)?;
    let who = visitor.principal(PATH)?;
    let (actor, file) = (visitor.actor(), form.csv.clone().into_bytes());
    let by = By::Principal(&who, &actor);
    if form.store != "yes" {
        let preview = csv_import::preview(&app, by, file).await?;
        return Ok(answer(&app, &visitor, form.csv, Some(preview)));
    }
    let added = csv_import::add_all(&app, by, file).await?;
    if added.faults.is_empty() {
        return Ok(Redirect::to(user::PATH).into_response());
    }
    // Something changed since the preview.
    conflict(Ok(answer(&app, &visitor, form.csv, Some(added))))
}

//! `/settings`: the settings of the server and where each value came from, for administrators.
//! Settings are changed where the server is started; this page only shows them.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::config::keys;
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/settings.html")]
struct SettingsPage {
    frame: Frame,
    rows: Vec<SettingLine>,
    database: String,
    version: &'static str,
}

struct SettingLine {
    path: &'static str,
    about: String,
    /// The value when it is not set.
    default: &'static str,
    given: Option<String>,
    source: String,
    is_secret: bool,
}

/// The page.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal("/settings")?.must_inspect()?;
    let rows = keys().map(|key| {
        let given = app.config.given.iter().find(|given| given.path == key.path);
        SettingLine {
            path: key.path,
            about: key.about().replace('`', ""),
            default: key.default_text(),
            given: given.map(|given| given.text.clone().unwrap_or_default()),
            source: given.map(|given| given.source.clone()).unwrap_or_default(),
            is_secret: key.is_secret,
        }
    });
    let template = SettingsPage {
        frame: visitor.frame(&app, Section::Settings),
        rows: rows.collect(),
        database: app.store.describe().await?,
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(page(StatusCode::OK, &template))
}

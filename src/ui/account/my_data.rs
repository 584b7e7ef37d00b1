//! `/my-data`: all data that is stored about the user, as a file.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::{privacy, users};
use crate::ui::PageResult;
use crate::ui::error::PageError;
use crate::ui::visitor::Visitor;

const PATH: &str = "/my-data";

/// The file. It needs a re-authentication, since it reveals more than any page does.
pub async fn download(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.confirmed(&app, PATH)?;
    let (who, actor) = (visitor.principal(PATH)?, visitor.actor());
    let by = By::Principal(&who, &actor);
    let user = users::find_by_id(&app, by, who.user_id).await?;
    let export = privacy::export(&app, by, &user).await?;
    let text = serde_json::to_string_pretty(&export).map_err(|_| PageError::Internal)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"my-data.json\"")),
    ];
    Ok((headers, text).into_response())
}

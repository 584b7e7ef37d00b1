//! All sessions that a view matches, as CSV or JSON lines.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream;

use crate::actions::app::App;
use crate::actions::csv;
use crate::actions::sessions::records::{COLUMNS, cells, records};
use crate::http::query::Query;
use crate::store::StoreError;
use crate::ui::PageResult;
use crate::ui::error::PageError;
use crate::ui::fleet::view::View;
use crate::ui::fleet::viewer::Viewer;
use crate::ui::visitor::Visitor;

/// How many rows are read at once.
const STEP: usize = 500;

/// `?format=csv` or `jsonl`, with the view's own parameters. Each session is in it once; those that
/// end during the export may be missing. A search with a mistake exports nothing.
pub async fn download(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let view = View::read(&query);
    crate::ui::fleet::look(&visitor, view.clone())?;
    let is_csv = match query.last("format") {
        Some("csv") => true,
        Some("jsonl") => false,
        _ => return Err(PageError::NotFound),
    };
    let filter = crate::ui::fleet::exact(&app, &visitor, &view).await?;
    let matching = app.store.long_read(move |db| Box::pin(async move { db.list_matching(&filter, None, None).await })).await?;
    let ids = Arc::new(matching.ids);
    let viewer = Viewer::of(&app, &visitor, &parts);
    let parts = stream::unfold(0, move |at: usize| {
        let (app, ids, viewer) = (app.clone(), Arc::clone(&ids), viewer.clone());
        async move {
            let step = ids.get(at..(at + STEP).min(ids.len())).unwrap_or_default();
            if step.is_empty() && !(at == 0 && is_csv) {
                return None;
            }
            // The rights are checked again for each part, since a client may take minutes to read
            // it. An answer that breaks off is not mistaken for a complete one.
            let part = match viewer.session(&app).await {
                Ok(Some(_)) => read(&app, step, is_csv, at == 0).await,
                Ok(None) => Err(StoreError::Failed("the viewer may not look any longer".into())),
                Err(error) => Err(error),
            };
            Some((part, at + STEP))
        }
    });
    let (kind, name) =
        if is_csv { ("text/csv; charset=utf-8", "sessions.csv") } else { ("application/x-ndjson", "sessions.jsonl") };
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], Body::from_stream(parts))
        .into_response())
}

async fn read(app: &App, ids: &[i64], is_csv: bool, is_first: bool) -> Result<Vec<u8>, StoreError> {
    let rows = app.store.read().list_sessions_by_key(ids).await?;
    let records = records(app, &rows).await?;
    let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
    if is_csv {
        let header = is_first.then(|| COLUMNS.iter().map(|name| (*name).to_owned()).collect());
        let rows = header.into_iter().chain(records.iter().map(|record| cells(record, COLUMNS)));
        let text = csv::rows(rows).map_err(|error| failed(&error))?;
        return Ok(if is_first { [csv::BYTE_ORDER_MARK, &text].concat() } else { text });
    }
    let mut lines = Vec::new();
    for record in &records {
        serde_json::to_writer(&mut lines, record).map_err(|error| failed(&error))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

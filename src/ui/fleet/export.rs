//! All sessions that a view matches, live ones, ended ones or both, as CSV or JSON lines.

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream;
use serde_json::{Map, Value};

use crate::actions::app::App;
use crate::actions::csv;
use crate::actions::sessions::records::{COLUMNS, ENDED_COLUMNS, cells, ended_records, records};
use crate::domain::listing::EndedFilter;
use crate::domain::source::Origin;
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::sessions::history_page::EndedKey;
use crate::ui::PageResult;
use crate::ui::error::PageError;
use crate::ui::fleet::history;
use crate::ui::fleet::view::{Among, View};
use crate::ui::fleet::viewer::Viewer;
use crate::ui::visitor::Visitor;

/// How many rows are read at once.
const STEP: usize = 500;

/// An export in progress.
struct Export {
    app: App,
    viewer: Viewer,
    is_csv: bool,
    columns: &'static [&'static str],
    /// The keys of the live sessions of Rollcall that are not written yet, the next one first, and of those of the copy.
    live: VecDeque<i64>,
    watched: VecDeque<i64>,
    /// Which ended sessions are left, and after which one.
    ended: Option<EndedFilter>,
    after: Option<EndedKey>,
    is_first: bool,
}

/// `?format=csv` or `jsonl`, with the view's own parameters: the live sessions first, Rollcall's own before watched ones, then those that ended, the latest
/// end first. Each session is in it once; those that end during the export may be missing. A search with a mistake
/// exports nothing.
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
    if let Some(mistakes) = view.query.mistakes() {
        return Err(PageError::Mistaken(mistakes));
    }
    let filter = crate::ui::fleet::shown(&app, &visitor, &view, app.clock.now()).await?;
    let ended = match view.state {
        Among::Live => None,
        Among::Ended | Among::Both => Some(history::ended_filter(&app, &view, &filter, app.clock.now()).await?),
    };
    let (live, watched) = match view.state {
        Among::Ended => (Vec::new(), Vec::new()),
        Among::Live | Among::Both => {
            let has_own = filter.source != Some(Origin::Authentik);
            let own = if has_own { app.store.list_matching(&filter, None, None).await?.ids } else { Vec::new() };
            let read = app.store.long_read(move |db| Box::pin(async move { db.list_watched_matching(&filter).await }));
            let watched: Result<Vec<i64>, StoreError> = read.await;
            (own, watched?)
        }
    };
    let (columns, name) = match view.state {
        Among::Live => (COLUMNS, "sessions"),
        Among::Ended => (ENDED_COLUMNS, "ended-sessions"),
        Among::Both => (ENDED_COLUMNS, "sessions-and-ended"),
    };
    let viewer = Viewer::of(&app, &visitor, &parts);
    let export =
        Export { app, viewer, is_csv, columns, live: live.into(), watched: watched.into(), ended, after: None, is_first: true };
    let parts = stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        // The rights are checked again for each part, since a client may take minutes to read it. An answer that
        // breaks off is not mistaken for a complete one.
        match export.part().await {
            Ok(None) => None,
            Ok(Some(part)) => Some((Ok(part), Some(export))),
            Err(error) => Some((Err(error), None)),
        }
    });
    let (kind, ending) = if is_csv { ("text/csv; charset=utf-8", "csv") } else { ("application/x-ndjson", "jsonl") };
    let disposition = format!("attachment; filename=\"{name}.{ending}\"");
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], Body::from_stream(parts))
        .into_response())
}

impl Export {
    /// The next part of the file; `None`: it is complete.
    async fn part(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.viewer.session(&self.app).await?.is_none() {
            return Err(StoreError::Failed("the viewer may not look any longer".into()));
        }
        let is_first = std::mem::replace(&mut self.is_first, false);
        match self.records().await? {
            Some(records) => self.encode(&records, is_first).map(Some),
            // A table without rows has a head.
            None if is_first && self.is_csv => self.encode(&[], true).map(Some),
            None => Ok(None),
        }
    }

    /// The next rows; `None`: there are no more.
    async fn records(&mut self) -> Result<Option<Vec<Map<String, Value>>>, StoreError> {
        if !self.live.is_empty() {
            let step: Vec<i64> = self.live.drain(..STEP.min(self.live.len())).collect();
            return records(&self.app, &self.app.store.read().list_sessions_by_key(&step).await?).await.map(Some);
        }
        if !self.watched.is_empty() {
            let step: Vec<i64> = self.watched.drain(..STEP.min(self.watched.len())).collect();
            return records(&self.app, &self.app.store.read().list_watched_by_key(&step).await?).await.map(Some);
        }
        let Some(filter) = &self.ended else { return Ok(None) };
        let page = self.app.store.ended_page(filter, self.after, i64::try_from(STEP).unwrap_or(i64::MAX)).await?;
        self.after = page.next;
        if page.next.is_none() {
            self.ended = None;
        }
        let rows: Vec<_> = page.rows.into_iter().map(|(_, row)| row).collect();
        ended_records(&self.app, &rows).await.map(Some)
    }

    fn encode(&self, records: &[Map<String, Value>], is_first: bool) -> Result<Vec<u8>, StoreError> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
        if self.is_csv {
            let header = is_first.then(|| self.columns.iter().map(|name| (*name).to_owned()).collect());
            let rows = header.into_iter().chain(records.iter().map(|record| cells(record, self.columns)));
            let text = csv::rows(rows).map_err(|error| failed(&error))?;
            return Ok(if is_first { [csv::BYTE_ORDER_MARK, &text].concat() } else { text });
        }
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record).map_err(|error| failed(&error))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

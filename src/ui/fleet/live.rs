//! The live table: server-sent events. A viewer is sent what their page shows and no more. Each
//! look repeats the check of the session, as each request of a page does: the stream ends when the
//! session ends, must prove a second factor, is used from another network or place, or loses the
//! right.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use serde_json::json;

use crate::actions::app::App;
use crate::actions::sessions::watch::StreamPlace;
use crate::domain::SessionId;
use crate::domain::source::{NAME, Origin};
use crate::store::{Db, Log, StoreError};
use crate::ui::PageResult;
use crate::ui::error::PageError;
use crate::ui::fleet::rows::{Look, RenderedRow};
use crate::ui::fleet::view::View;
use crate::ui::fleet::viewer::Viewer;
use crate::ui::visitor::Visitor;
use crate::ui::words::{end_reason, grouped};

/// How often the database is checked for changes.
const TICK: Duration = Duration::from_secs(1);
/// The number of looks without a change after which a comment is sent, which detects a viewer that
/// has left.
const QUIET: u32 = 15;

/// The state of a stream.
struct Watch {
    app: App,
    viewer: Viewer,
    view: View,
    place: StreamPlace,
    /// The positions at the last look.
    position: Option<Position>,
    sent: Vec<RenderedRow>,
    count: i64,
    quiet: u32,
}

/// How far the lists that a view shows had changed: by the logs of changes, and when the copy of the watched authentik
/// last agreed with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    own: i64,
    watched: i64,
    seen_at: i64,
}

impl Position {
    /// The positions of now, of the logs that matter to sessions that live there.
    async fn of(db: &Db<'_>, origin: Origin) -> Result<Self, StoreError> {
        let mut position = Self::default();
        if origin != Origin::Authentik {
            position.own = db.newest_change(Log::Own).await?;
        }
        if origin != Origin::Rollcall {
            position.watched = db.newest_change(Log::Watched).await?;
            position.seen_at = db.find_source(NAME).await?.map_or(0, |source| source.status.seen_at.0);
        }
        Ok(position)
    }
}

/// The stream of a view.
pub async fn stream(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    let view = View::of(&parts);
    crate::ui::fleet::look(&visitor, view.clone())?;
    let session = visitor.session.as_ref().map(|session| session.uuid).ok_or(PageError::Forbidden)?;
    let place = app.streams.enter(session).ok_or(PageError::TooMany)?;
    let viewer = Viewer::of(&app, &visitor, &parts);
    let watch = Watch { app, viewer, view, place, position: None, sent: Vec::new(), count: 0, quiet: 0 };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    // Tells proxies not to buffer events.
    Ok(([(header::HeaderName::from_static("x-accel-buffering"), "no")], Sse::new(events)).into_response())
}

impl Watch {
    /// The next event; `None`: the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.position.is_some() && !self.place.wait(TICK).await {
                return None;
            }
            match self.look().await {
                Ok(Some(event)) => {
                    self.quiet = 0;
                    return event;
                }
                Ok(None) => self.quiet += 1,
                Err(error) => {
                    tracing::warn!(%error, "a live view ended");
                    return None;
                }
            }
            if self.quiet >= QUIET {
                self.quiet = 0;
                return Some(Event::default().comment("still here"));
            }
        }
    }

    /// Whether something changed: `Some(None)` when the viewer has lost the right.
    async fn look(&mut self) -> Result<Option<Option<Event>>, StoreError> {
        let Some(viewer) = self.viewer.session(&self.app).await? else { return Ok(Some(None)) };
        let (db, now) = (self.app.store.read(), self.app.clock.now());
        let position = Position::of(&db, self.view.query.origin().unwrap_or(Origin::Rollcall)).await?;
        if self.position == Some(position) {
            return Ok(None);
        }
        let is_first = self.position.is_none();
        self.position = Some(position);
        let look = Look {
            view: self.view.clone(),
            current: Some(viewer.uuid),
            may_end: viewer.rights.may_delete_sessions && self.view.may_be_ended(),
            is_administrator: viewer.rights.may_inspect(),
        };
        let filter = self.view.shown(&self.app, now, Some(viewer.uuid)).await?;
        let found = self.app.store.page(&filter, &look.view.sorts(), look.view.wanted()).await?;
        let (count, rows) = (found.count, crate::ui::fleet::rows::render(&self.app, &db, &found.rows, &look, now).await?);
        if (count, &rows) == (self.count, &self.sent) && !is_first {
            // The change is on another page of the table: only the counts next to it may differ.
            return Ok(Some(Some(Event::default().event("changed").data(grouped(count)))));
        }
        let gone = self.gone(&rows).await?;
        let data = json!({
            "count": grouped(count),
            "rows": rows.iter().map(|row| json!({"id": row.id, "html": row.html})).collect::<Vec<_>>(),
            "gone": gone.iter().map(|(id, why)| json!({"id": id, "why": why})).collect::<Vec<_>>(),
        });
        (self.count, self.sent) = (count, rows);
        Ok(Some(Some(Event::default().event("rows").data(data.to_string()))))
    }

    /// Which of the rows that were sent before have ended, and why.
    async fn gone(&self, rows: &[RenderedRow]) -> Result<Vec<(SessionId, String)>, StoreError> {
        let there: HashSet<SessionId> = rows.iter().map(|row| row.id).collect();
        let db = self.app.store.read();
        let mut gone = Vec::new();
        for row in self.sent.iter().filter(|row| !there.contains(&row.id)) {
            if let Some(ended) = db.find_ended_session(row.id).await? {
                gone.push((row.id, end_reason(&ended.reason, &ended.ended_by)));
            }
        }
        Ok(gone)
    }
}

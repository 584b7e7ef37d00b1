//! `/events/live`: server-sent events with the rows of the page as they come. Each look repeats the check of the session:
//! the stream ends when the session ends, must prove a second factor, is used from elsewhere, or loses the right.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use serde_json::json;

use super::{Asked, EventRowPart, Given, PAGE_SIZE};
use crate::actions::app::App;
use crate::actions::sessions::watch::StreamPlace;
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::events::feed::EventFeed;
use crate::store::events::list::holds_text;
use crate::ui::PageResult;
use crate::ui::error::PageError;
use crate::ui::fleet::viewer::Viewer;
use crate::ui::visitor::Visitor;

/// How often the database is checked for new events.
const TICK: Duration = Duration::from_secs(1);
/// The number of looks without news after which a comment is sent, which detects a viewer that has left.
const QUIET: u32 = 15;
/// The most events that a page may have missed: one that missed more is loaded anew.
const MISSED: i64 = 1000;

/// The state of a stream.
struct Watch {
    app: App,
    viewer: Viewer,
    asked: Asked,
    place: StreamPlace,
    /// The place in the table after which it begins.
    since: i64,
    feed: Option<EventFeed>,
    quiet: u32,
    is_over: bool,
}

/// The stream of the page with these filters, from the event after `since` on.
pub async fn stream(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(super::PATH)?.must_inspect()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let asked = Given::read(&query).asked(&app).await?;
    if !asked.error.is_empty() {
        return Err(PageError::NotFound);
    }
    let session = visitor.session.as_ref().map(|session| session.uuid).ok_or(PageError::Forbidden)?;
    let place = app.streams.enter(session).ok_or(PageError::TooMany)?;
    // A browser that connects again says what it has.
    let last = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let since = last.or_else(|| query.last("since")?.parse().ok()).filter(|since| *since >= 0);
    let since = match since {
        Some(since) => since,
        None => app.store.read().newest_event().await?,
    };
    let viewer = Viewer::of(&app, &visitor, &parts);
    let watch = Watch { app, viewer, asked, place, since, feed: None, quiet: 0, is_over: false };
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
            if self.is_over || (self.feed.is_some() && !self.place.wait(TICK).await) {
                return None;
            }
            match self.look().await {
                Ok(Look::Rows(event)) => {
                    self.quiet = 0;
                    return Some(event);
                }
                Ok(Look::Nothing) => self.quiet += 1,
                Ok(Look::Over) => return None,
                Err(error) => {
                    tracing::warn!(%error, "a live view of events ended");
                    return None;
                }
            }
            if self.quiet >= QUIET {
                self.quiet = 0;
                return Some(Event::default().comment("still here"));
            }
        }
    }

    async fn look(&mut self) -> Result<Look, StoreError> {
        let viewer = self.viewer.session(&self.app).await?;
        if !viewer.is_some_and(|session| session.rights.may_inspect()) {
            return Ok(Look::Over);
        }
        let db = self.app.store.read();
        let Some(feed) = &mut self.feed else {
            let newest = db.newest_event().await?;
            if newest - self.since > MISSED {
                self.is_over = true;
                return Ok(Look::Rows(Event::default().event("behind").data(MISSED.to_string())));
            }
            self.feed = Some(EventFeed::after(&db, self.since.min(newest), Instant::now()).await?);
            // The first answer comes at once, so that the page knows that it is live.
            return Ok(Look::Rows(Event::default().comment("from here on")));
        };
        let mut found = feed.read(&db, Instant::now()).await?;
        let Some(newest) = found.iter().map(|event| event.id).max() else { return Ok(Look::Nothing) };
        let (filter, text) = (&self.asked.filter, &self.asked.text);
        found.retain(|event| filter.matches(event) && (text.is_empty() || holds_text(event, text)));
        if found.is_empty() {
            return Ok(Look::Nothing);
        }
        found.sort_by_key(|event| std::cmp::Reverse(event.id));
        found.truncate(usize::try_from(PAGE_SIZE).unwrap_or(0));
        let now = self.app.clock.now();
        let mut rows = Vec::with_capacity(found.len());
        for event in &found {
            let html = EventRowPart::new(&self.app, event, now).render();
            let html = html.map_err(|error| StoreError::Failed(error.to_string()))?;
            rows.push(json!({ "id": event.id, "html": html }));
        }
        Ok(Look::Rows(Event::default().event("rows").id(newest.to_string()).data(json!({ "rows": rows }).to_string())))
    }
}

/// What one look came to.
enum Look {
    /// Something to send.
    Rows(Event),
    /// Nothing new that the page shows.
    Nothing,
    /// The viewer may not look any longer.
    Over,
}

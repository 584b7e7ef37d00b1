//! `/events`: what happened, for administrators; `/events/export`, the same as a file; and `/events/live`, the same as it
//! comes ([`live`]).

pub mod live;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use futures_util::stream;

use crate::actions::app::App;
use crate::actions::csv;
use crate::actions::events;
use crate::domain::event::{EventKind, masked};
use crate::domain::query::Limit;
use crate::domain::{Address, Timestamp};
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::events::list::EventFilter;
use crate::store::events::rows::EventRow;
use crate::ui::error::PageError;
use crate::ui::fleet::view::address;
use crate::ui::fleet::viewer::Viewer;
use crate::ui::visitor::Visitor;
use crate::ui::words::EventLine;
use crate::ui::{Frame, PageResult, Section, assets, page};

const PATH: &str = "/events";
const PAGE_SIZE: i64 = 50;
/// How many events one part of an export reads.
const STEP: i64 = 500;

#[derive(Template)]
#[template(path = "pages/events.html")]
struct EventsPage {
    frame: Frame,
    given: Given,
    kinds: Vec<Kind>,
    rows: Vec<EventRowPart>,
    events_js: &'static str,
    /// The address of the stream of what comes after this page; `""`: it is not the first page, or lists nothing.
    live: String,
    /// The address of this page.
    here: String,
    /// The address of the next page, or `""`.
    next: String,
    /// Whether the search for a text stopped before the page was full.
    is_partial: bool,
    is_filtered: bool,
    /// How many filters are given.
    in_use: usize,
    /// The addresses of the export.
    csv: String,
    json: String,
    error: String,
}

/// A row of the table.
#[derive(Template)]
#[template(path = "parts/event_row.html")]
struct EventRowPart {
    id: i64,
    event: EventLine,
}

impl EventRowPart {
    fn new(app: &App, event: &EventRow, now: Timestamp) -> Self {
        Self { id: event.id, event: EventLine::new(app, event, now, None) }
    }
}

/// A kind of event to choose.
struct Kind {
    name: &'static str,
    words: String,
    is_chosen: bool,
}

/// What the form sends.
#[derive(Default)]
struct Given {
    kind: String,
    user: String,
    actor: String,
    ip: String,
    text: String,
    from: String,
    to: String,
    /// The key of the event whose parts are listed, or `""`.
    part_of: String,
}

/// The events that are asked for.
#[derive(Default)]
struct Asked {
    filter: EventFilter,
    /// A text that they hold, or `""`.
    text: String,
    /// What was not understood, or `""`. Nothing is listed then.
    error: String,
}

impl Given {
    fn read(query: &Query) -> Self {
        let text = |name: &str| query.last(name).unwrap_or_default().trim().replace('\0', "");
        Self {
            kind: text("kind"),
            user: text("user"),
            actor: text("actor"),
            ip: text("ip"),
            text: text("text"),
            from: text("from"),
            to: text("to"),
            part_of: query.last("part_of").filter(|key| key.parse::<i64>().is_ok()).unwrap_or_default().to_owned(),
        }
    }

    /// The parameters of its address.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("kind", &self.kind),
            ("user", &self.user),
            ("actor", &self.actor),
            ("ip", &self.ip),
            ("text", &self.text),
            ("from", &self.from),
            ("to", &self.to),
            ("part_of", &self.part_of),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.clone())).collect()
    }

    /// The events that it asks for.
    async fn asked(&self, app: &App) -> Result<Asked, StoreError> {
        let (now, db) = (app.clock.now(), app.store.read());
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let mut errors = Vec::new();
        let mut limit = |text: &str| {
            let read = if text.is_empty() { None } else { Limit::parse(text) };
            if read.is_none() && !text.is_empty() {
                errors.push(format!("“{text}” is no time. Such as 2026-11-01, 2026-11-01T12:00:00Z, today or yesterday."));
            }
            read
        };
        let (from, to) = (limit(&self.from), limit(&self.to));
        let mut filter = EventFilter {
            kind: given(&self.kind),
            parent: self.part_of.parse().ok(),
            from: from.map(|limit| limit.begins(now)),
            to: to.map(|limit| limit.ends(now)),
            ..EventFilter::default()
        };
        if !self.actor.is_empty() {
            // A name that nobody has now may be in events.
            let author = db.find_author(&self.actor).await?;
            filter.actor = Some(author.map_or_else(|| self.actor.clone(), |author| author.name().to_owned()));
        }
        if !self.ip.is_empty() {
            match Address::parse(&self.ip) {
                Some(ip) => filter.ip = Some(ip.to_string()),
                None => errors.push(format!("“{}” is no address.", self.ip)),
            }
        }
        if !self.user.is_empty() {
            match db.find_user_of_events(&self.user).await? {
                Some(found) => filter.user = Some(found.uuid),
                None => errors.push(format!("There is no user named “{}”, and no event names one who was removed.", self.user)),
            }
        }
        Ok(Asked { filter, text: self.text.clone(), error: errors.join(" ") })
    }
}

/// One page of events, the latest first: those found, and the key that the next page begins after. What was not understood
/// matches nothing.
async fn read(app: &App, asked: &Asked, limit: i64) -> Result<(Vec<EventRow>, Option<i64>, bool), StoreError> {
    if !asked.error.is_empty() {
        return Ok((Vec::new(), None, false));
    }
    let (filter, text) = (asked.filter.clone(), asked.text.clone());
    let read = app.store.long_read(move |db| {
        Box::pin(async move {
            if text.is_empty() {
                return Ok::<_, StoreError>((db.list_latest_events(&filter, limit + 1).await?, None));
            }
            db.find_latest_events(&filter, &text, limit + 1).await
        })
    });
    let (mut found, stop) = read.await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    if found.len() > shown {
        found.truncate(shown);
        let next = found.last().map(|event| event.id);
        return Ok((found, next, false));
    }
    Ok((found, stop, stop.is_some()))
}

/// The list, the latest first.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(PATH)?.must_inspect()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let given = Given::read(&query);
    let mut asked = given.asked(&app).await?;
    asked.filter.before = query.last("before").and_then(|before| before.parse().ok());
    // What comes while the page is made is sent again by the stream.
    let newest = app.store.read().newest_event().await?;
    let (found, next, is_partial) = read(&app, &asked, PAGE_SIZE).await?;
    let now = app.clock.now();
    let is_live = asked.filter.before.is_none() && asked.error.is_empty();
    let parameters = given.parameters();
    let with = |path: &str, name: &'static str, value: String| {
        let more = [(name, value)];
        address(path, &parameters.iter().cloned().chain(more).collect::<Vec<_>>())
    };
    let kinds = EventKind::ALL.iter().map(|known| {
        let name = known.as_str();
        Kind { name, words: name.replace('_', " "), is_chosen: given.kind == name }
    });
    let template = EventsPage {
        frame: visitor.frame(&app, Section::Events),
        kinds: kinds.collect(),
        rows: found.iter().map(|event| EventRowPart::new(&app, event, now)).collect(),
        events_js: assets::events_js(),
        live: if is_live { with("/events/live", "since", newest.to_string()) } else { String::new() },
        here: address(PATH, &parameters),
        next: next.map(|key| with(PATH, "before", key.to_string())).unwrap_or_default(),
        is_partial,
        is_filtered: !parameters.is_empty(),
        in_use: parameters.len(),
        csv: with("/events/export", "format", "csv".into()),
        json: with("/events/export", "format", "jsonl".into()),
        given,
        error: asked.error,
    };
    Ok(page(StatusCode::OK, &template))
}

/// The columns of an export as CSV.
const COLUMNS: [&str; 9] = ["at", "kind", "actor", "username", "ip", "session", "request_id", "text", "content"];

/// `?format=csv` or `jsonl`, with the page's own parameters: all events that match, the latest first. What was not
/// understood exports nothing.
pub async fn export(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(PATH)?.must_inspect()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let is_csv = match query.last("format") {
        Some("csv") => true,
        Some("jsonl") => false,
        _ => return Err(PageError::NotFound),
    };
    let asked = Given::read(&query).asked(&app).await?;
    if !asked.error.is_empty() {
        return Err(PageError::NotFound);
    }
    let viewer = Viewer::of(&app, &visitor, &parts);
    let parts = stream::unfold(Some((asked, true)), move |state| {
        let (app, viewer) = (app.clone(), viewer.clone());
        async move {
            let (mut asked, is_first) = state?;
            // The rights are checked again for each part, since a client may take minutes to read it.
            let part = match viewer.session(&app).await {
                Ok(Some(session)) if session.rights.may_inspect() => read(&app, &asked, STEP).await,
                Ok(_) => Err(StoreError::Failed("the viewer may not look any longer".into())),
                Err(error) => Err(error),
            };
            let (events, next, _) = match part {
                Ok(part) => part,
                Err(error) => return Some((Err(error), None)),
            };
            let text = written(&events, is_csv, is_first);
            asked.filter.before = next;
            Some((text, next.map(|_| (asked, false))))
        }
    });
    let (kind, name) = if is_csv { ("text/csv; charset=utf-8", "events.csv") } else { ("application/x-ndjson", "events.jsonl") };
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], Body::from_stream(parts))
        .into_response())
}

/// Events as a part of a file.
fn written(found: &[EventRow], is_csv: bool, is_first: bool) -> Result<Vec<u8>, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
    if is_csv {
        let header = is_first.then(|| COLUMNS.map(str::to_owned));
        let cells = |event: &EventRow| {
            let session = event.session.map(|id| id.to_string()).unwrap_or_default();
            let texts = [event.at.to_string(), event.kind().to_owned(), event.actor.clone(), event.username.clone()];
            let [at, kind, actor, username] = texts;
            let content = serde_json::Value::Object(masked::shown(event.content.to_json())).to_string();
            [at, kind, actor, username, event.ip.clone(), session, event.request_id.clone(), event.text(), content]
        };
        let text = csv::rows(header.into_iter().chain(found.iter().map(cells))).map_err(|error| failed(&error))?;
        return Ok(if is_first { [csv::BYTE_ORDER_MARK, &text].concat() } else { text });
    }
    let mut lines = Vec::new();
    for event in found {
        serde_json::to_writer(&mut lines, &events::record(event)).map_err(|error| failed(&error))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

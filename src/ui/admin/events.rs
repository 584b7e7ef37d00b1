//! `/events`: what happened, for administrators.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::domain::Timestamp;
use crate::domain::event::EventKind;
use crate::domain::facets::DAY;
use crate::http::query::Query;
use crate::store::events::list::EventFilter;
use crate::ui::fleet::view::address;
use crate::ui::visitor::Visitor;
use crate::ui::words::EventLine;
use crate::ui::{Frame, PageResult, Section, page};

const PATH: &str = "/events";
const PAGE_SIZE: i64 = 50;

#[derive(Template)]
#[template(path = "pages/events.html")]
struct EventsPage {
    frame: Frame,
    user: String,
    actor: String,
    from: String,
    to: String,
    kinds: Vec<Kind>,
    events: Vec<EventLine>,
    /// The address of the next page, or `""`.
    next: String,
    is_filtered: bool,
    /// The key of the event whose parts are listed, or `""`.
    part_of: String,
    error: String,
}

/// A kind of event to choose.
struct Kind {
    name: &'static str,
    words: String,
    is_chosen: bool,
}

/// The list, the latest first.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.principal(PATH)?.must_inspect()?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let text = |name: &str| query.last(name).unwrap_or_default().trim().replace('\0', "");
    let (kind, user, actor, from, to) = (text("kind"), text("user"), text("actor"), text("from"), text("to"));
    let parent = query.last("part_of").and_then(|key| key.parse::<i64>().ok());
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut error = String::new();
    let mut day = |text: &str| match Timestamp::parse(text) {
        None if text.is_empty() => None,
        None => {
            error = format!("“{text}” is no day. Such as 2026-11-01.");
            None
        }
        day => day,
    };
    let mut filter = EventFilter {
        user: None,
        actor: given(&actor),
        kind: given(&kind),
        session: None,
        parent,
        from: day(&from),
        to: day(&to).map(|day| Timestamp(day.0 + DAY - 1)),
        before: query.last("before").and_then(|before| before.parse().ok()),
    };
    if !user.is_empty() {
        match app.store.read().find_user_named(&user).await? {
            Some(found) => filter.user = Some(found.uuid),
            None => error = format!("There is no user named “{user}”; the others apply."),
        }
    }
    let asked = filter.clone();
    let read = app.store.long_read(move |db| Box::pin(async move { db.list_latest_events(&asked, PAGE_SIZE + 1).await }));
    let found = read.await?;
    let shown = usize::try_from(PAGE_SIZE).unwrap_or(0);
    let now = app.clock.now();
    let last = found.get(shown.saturating_sub(1)).filter(|_| found.len() > shown);
    let part_of = parent.map(|key| key.to_string()).unwrap_or_default();
    let names = [("kind", &kind), ("user", &user), ("actor", &actor), ("from", &from), ("to", &to), ("part_of", &part_of)];
    let mut parameters: Vec<(&str, String)> =
        names.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, (*value).clone())).collect();
    let is_filtered = !parameters.is_empty();
    let next = last.map(|event| {
        parameters.push(("before", event.id.to_string()));
        address(PATH, &parameters)
    });
    let kinds = EventKind::ALL.iter().map(|known| {
        let name = known.as_str();
        Kind { name, words: name.replace('_', " "), is_chosen: kind == name }
    });
    let kinds: Vec<Kind> = kinds.collect();
    let template = EventsPage {
        frame: visitor.frame(&app, Section::Events),
        kinds,
        events: found.iter().take(shown).map(|event| EventLine::new(&app, event, now, None)).collect(),
        next: next.unwrap_or_default(),
        user,
        actor,
        from,
        to,
        is_filtered,
        part_of,
        error,
    };
    Ok(page(StatusCode::OK, &template))
}

//! `/sessions/all?state=ended` and `?state=both`: the same table with sessions that ended, the latest first.
//!
//! Live sessions are in it by their last use, ended ones by their end. A page begins after a row that its address
//! names, so that the last page costs no more than the first.

use std::fmt;

use askama::Template;
use axum::http::StatusCode;

use crate::actions::app::App;
use crate::actions::sessions::question;
use crate::domain::filters::Word;
use crate::domain::listing::{EndedFilter, SessionFilter, Sort, SortKey};
use crate::domain::page::Wanted;
use crate::domain::query::{Mistakes, token, words};
use crate::domain::{EndReason, SessionId, Timestamp};
use crate::store::StoreError;
use crate::store::sessions::history_page::{EndedKey, EndedPage};
use crate::store::sessions::rows::SessionRow;
use crate::ui::fleet::copy::{OriginLink, SourcePages, origins};
use crate::ui::fleet::rows::{Look, apps, name_of};
use crate::ui::fleet::view::{Among, View, address};
use crate::ui::fleet::{Chip, chips, states};
use crate::ui::visitor::Visitor;
use crate::ui::words::{Device, Moment, Whereabouts, describe, end_reason};
use crate::ui::{Frame, PageResult, Section, page};

#[derive(Template)]
#[template(path = "pages/session_history.html")]
struct HistoryPage {
    frame: Frame,
    look: Look,
    states: Vec<(Among, String)>,
    origins: Vec<OriginLink>,
    chips: Vec<Chip>,
    mistakes: Option<Mistakes>,
    words: Vec<Word>,
    /// Searches to choose: a title, and words with their addresses.
    offers: Vec<(&'static str, Vec<Offer>)>,
    rows: Vec<Line>,
    /// How many there are, such as `12 sessions` or `More than 25 sessions`.
    count: String,
    /// The addresses of the first and the next page, or `""`.
    first: String,
    next: String,
    /// Whether the search stopped before the page was full.
    is_partial: bool,
    /// For a search by one address: sessions that moved on to another one are not found by it.
    moved: Option<Moved>,
}

/// An address that sessions may have moved away from.
struct Moved {
    ip: String,
    /// The address of the events from there at that time; `""`: the viewer may not see events.
    events: String,
}

impl Moved {
    fn of(look: &Look, live: &SessionFilter, now: Timestamp) -> Option<Self> {
        let ip = live.last_ip?.to_string();
        let (from, to) = look.view.query.days_of_use().map_or((None, None), |days| days.bounds(now));
        // They are the beginning and the end of days.
        let day = |at: Option<Timestamp>| at.and_then(|at| at.to_string().get(..10).map(str::to_owned));
        let all = [("ip", Some(ip.clone())), ("from", day(from)), ("to", day(to))];
        let given: Vec<(&str, String)> = all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let events = if look.is_administrator { address("/events", &given) } else { String::new() };
        Some(Self { ip, events })
    }
}

/// A search to choose.
struct Offer {
    label: String,
    url: String,
    is_on: bool,
}

/// A row.
struct Line {
    id: SessionId,
    username: String,
    user_url: String,
    agent: String,
    device: Device,
    place: String,
    network: String,
    ip: String,
    ip_url: String,
    used: Moment,
    /// The number of apps that it has open, or had, such as `2 apps`, or `""`.
    apps: String,
    signed_in: Moment,
    /// When, why, and the comment; `None`: it is live.
    ended: Option<(Moment, String, String)>,
    is_current: bool,
    /// Whether it lives, or lived, at the watched authentik.
    is_watched: bool,
}

/// After which rows a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// How many live sessions come before.
    live: i64,
    /// The last ended session before.
    ended: Option<EndedKey>,
}

impl Cursor {
    /// Reads it from an address; what is no cursor is the beginning.
    fn parse(text: &str) -> Self {
        let numbers: Vec<i64> = text.split('.').map_while(|part| part.parse().ok()).collect();
        match numbers[..] {
            [live] if live >= 0 => Self { live, ended: None },
            [live, at, id] if live >= 0 => Self { live, ended: Some(EndedKey { at: Timestamp(at), id }) },
            _ => Self::default(),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.live)?;
        self.ended.map_or(Ok(()), |key| write!(f, ".{}.{}", key.at.0, key.id))
    }
}

/// The page. `live` is what the view shows of live sessions.
pub(super) async fn show(app: &App, visitor: &Visitor, look: Look, live: SessionFilter, now: Timestamp) -> PageResult {
    let view = &look.view;
    let ended = ended_filter(app, view, &live, now).await?;
    let cursor = Cursor::parse(&view.after);
    let found = find(app, view, (&live, &ended), cursor).await?;
    let is_first = cursor == Cursor::default();
    let count = match (found.count, &found.next) {
        (Some(count), _) => format!("{} session{}", crate::ui::words::grouped(count), crate::ui::words::plural(count)),
        (None, None) => String::new(),
        (None, Some(_)) => format!("More than {} sessions", found.rows.len()),
    };
    let rows = lines(app, &look, &found.rows, now).await?;
    let template = HistoryPage {
        frame: visitor.frame(app, Section::Sessions),
        states: states(view),
        origins: origins(app, view),
        chips: chips(view),
        mistakes: view.query.mistakes(),
        words: words().collect(),
        offers: offers(view),
        rows,
        count: if is_first { count } else { String::new() },
        first: if is_first { String::new() } else { view.url_after("") },
        next: found.next.map(|next| view.url_after(&next.to_string())).unwrap_or_default(),
        is_partial: found.is_partial,
        moved: Moved::of(&look, &live, now),
        look,
    };
    Ok(page(StatusCode::OK, &template))
}

/// The ended sessions of a view. `live` is what the view shows of live sessions.
pub(super) async fn ended_filter(app: &App, view: &View, live: &SessionFilter, now: Timestamp) -> Result<EndedFilter, StoreError> {
    let mut ended = view.query.ended_understood(now);
    ended.session = question::spelled(app, ended.session).await?;
    (ended.session.visible_to, ended.session.except) = (live.visible_to, live.except);
    Ok(ended)
}

/// A session of the list.
enum Row {
    Live(SessionRow),
    Ended(crate::store::sessions::history_list::EndedListRow),
}

impl Row {
    fn session(&self) -> &SessionRow {
        match self {
            Self::Live(row) => row,
            Self::Ended(row) => &row.session,
        }
    }
}

struct Found {
    rows: Vec<Row>,
    next: Option<Cursor>,
    is_partial: bool,
    count: Option<i64>,
}

async fn find(app: &App, view: &View, (live, ended): (&SessionFilter, &EndedFilter), cursor: Cursor) -> Result<Found, StoreError> {
    let size = usize::try_from(view.size).unwrap_or(0);
    let history = app.store.ended_page(ended, cursor.ended, view.size).await?;
    let (shown, live_count) = match view.state {
        Among::Both => live_after(app, live, cursor.live, view.size).await?,
        Among::Live | Among::Ended => (Vec::new(), 0),
    };
    let EndedPage { rows, next: more, is_partial, count } = history;
    // Where the search of ended sessions stopped, older live sessions wait for the next page.
    let stop = more.filter(|_| is_partial);
    let (mut live, mut ended) = (shown.into_iter().peekable(), rows.into_iter().peekable());
    let (mut all, mut at) = (Vec::new(), cursor);
    while all.len() < size {
        let (used, end) = (live.peek().map(|row| row.last_used_at), ended.peek().map(|(key, _)| key.at));
        let is_live = used.is_some_and(|used| end.or(stop.map(|key| key.at)).is_none_or(|end| used >= end));
        if is_live && let Some(row) = live.next() {
            at.live += 1;
            all.push(Row::Live(row));
        } else if let Some((key, row)) = ended.next() {
            at.ended = Some(key);
            all.push(Row::Ended(row));
        } else {
            break;
        }
    }
    let is_ended_left = ended.peek().is_some() || more.is_some();
    if ended.peek().is_none() && is_partial {
        at.ended = stop;
    }
    let is_left = is_ended_left || at.live < live_count;
    let is_partial = is_partial && all.len() < size;
    Ok(Found { rows: all, next: is_left.then_some(at), is_partial, count: count.map(|count| count + live_count) })
}

/// Live sessions after that many, the last used first, `size` at most; and how many match in all.
async fn live_after(app: &App, filter: &SessionFilter, after: i64, size: i64) -> Result<(Vec<SessionRow>, i64), StoreError> {
    let order = [Sort { key: SortKey::LastUsed, is_descending: true }];
    let number = after / size + 1;
    let page = app.store.page(filter, &order, Wanted::page(number, size)).await?;
    let (count, mut rows) = (page.count, page.rows);
    let skipped = after % size;
    if skipped > 0 && number * size < count {
        rows.extend(app.store.page(filter, &order, Wanted::page(number + 1, size)).await?.rows);
    }
    let skipped = usize::try_from(skipped).unwrap_or(0);
    Ok((rows.into_iter().skip(skipped).take(usize::try_from(size).unwrap_or(0)).collect(), count))
}

async fn lines(app: &App, look: &Look, rows: &[Row], now: Timestamp) -> Result<Vec<Line>, StoreError> {
    let db = app.store.read();
    let agents = app.user_agents.entries(&db, rows.iter().map(|row| row.session().user_agent_id)).await?;
    let users = rows.iter().map(Row::session).filter(|session| session.user_id.0 != 0);
    let names = db.list_names_of(users).await?;
    let live = rows.iter().filter(|row| matches!(row, Row::Live(_))).map(Row::session);
    let (own, watched): (Vec<&SessionRow>, Vec<&SessionRow>) = live.partition(|session| session.source.is_none());
    let opened = db.count_app_sessions_of(&own.iter().map(|session| session.uuid).collect::<Vec<_>>()).await?;
    let source = if watched.is_empty() { None } else { SourcePages::of(&db).await? };
    let as_line = |row: &Row| {
        let session = row.session();
        let open = match row {
            Row::Live(row) => opened.get(&row.uuid).filter(|_| row.source.is_none()).copied().unwrap_or(0),
            Row::Ended(row) => i64::try_from(row.applications.len()).unwrap_or(0),
        };
        let (username, ended) = match row {
            Row::Live(_) => (name_of(&names, session), None),
            Row::Ended(row) => {
                let end = &row.end;
                let why = end_reason(&end.reason, &crate::ui::words::isolate(&end.ended_by));
                (end.username.clone(), Some((Moment::new(end.ended_at, now), why, end.comment.clone())))
            }
        };
        let agent = agents.get(&session.user_agent_id);
        let (whereabouts, ip) = (Whereabouts::of(app, session.last_ip), session.last_ip.to_string());
        let is_there = names.get(session).is_some();
        // An ended session's user has no number there any more that is known.
        let there = source.as_ref().filter(|_| session.source.is_some() && ended.is_none());
        Line {
            id: session.uuid,
            user_url: if let Some(source) = there {
                source.user(session.user_id.0)
            } else if look.is_administrator && is_there {
                format!("/users/{}", session.user_id.0)
            } else {
                look.view.with_query(&token("user", &username)).url()
            },
            username,
            agent: describe(agent),
            device: Device::of(agent),
            place: whereabouts.place,
            network: whereabouts.network,
            ip_url: look.view.url_of_address(&ip),
            ip,
            used: Moment::new(there.map_or(session.last_used_at, |it| it.by_our_clock(session.last_used_at)), now),
            apps: if open == 0 { String::new() } else { apps(open) },
            signed_in: Moment::new(session.created_at, now),
            ended,
            is_current: look.current == Some(session.uuid),
            is_watched: session.source.is_some(),
        }
    };
    Ok(rows.iter().map(as_line).collect())
}

/// Searches that a click adds to the view, or takes out of it.
fn offers(view: &View) -> Vec<(&'static str, Vec<Offer>)> {
    let offer = |(label, word): (&str, String)| {
        let (url, is_on) = view.url_toggling(&word);
        Offer { label: label.to_owned(), url, is_on }
    };
    let days = |key: &str| {
        let days = [("Today", "today"), ("Yesterday", "yesterday"), ("Since yesterday", "yesterday..today")];
        days.into_iter().map(|(label, days)| offer((label, format!("{key}:{days}")))).collect::<Vec<_>>()
    };
    // Who was there on a day may have come back since: the last use alone does not tell.
    let mut all = vec![("Signed in and used (UTC)", days("active"))];
    if view.state == Among::Ended {
        all.push(("Ended (UTC)", days("ended")));
        let reasons = EndReason::ALL.map(|reason| {
            let words = reason.as_str().replace('_', " ");
            let mut letters = words.chars();
            let label = letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default();
            offer((&label, format!("reason:{}", reason.as_str())))
        });
        all.push(("Reason", reasons.into_iter().collect()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_is_read_as_it_is_written() {
        let key = EndedKey { at: Timestamp(1_700_000_000_000_000), id: 7 };
        for cursor in [Cursor::default(), Cursor { live: 3, ended: None }, Cursor { live: 25, ended: Some(key) }] {
            assert_eq!(Cursor::parse(&cursor.to_string()), cursor);
        }
        for text in ["", "x", "-1", "1.2", "1.2.3.4", "1.x.3", "99999999999999999999"] {
            let read = Cursor::parse(text);
            assert!(read == Cursor::default() || read.live == 1, "{text}: {read:?}");
        }
    }
}

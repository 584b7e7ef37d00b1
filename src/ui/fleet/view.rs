//! The state of the page of all sessions. What is listed is in its address: search, order, page.
//! How it is drawn (columns, rows on a page, compact) is remembered in a cookie, and is in the
//! address where it differs from the cookie.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::actions::app::App;
use crate::actions::sessions::question;
use crate::auth::cookies;
use crate::config::Config;
use crate::domain::listing::{SessionFilter, Sort};
use crate::domain::page::Wanted;
use crate::domain::query::{SessionQuery, token};
use crate::domain::source::Origin;
use crate::domain::{SessionId, Timestamp};
use crate::http::query::Query;
use crate::store::StoreError;
use crate::ui::error::PageError;

/// The page's address.
pub(in crate::ui) const PATH: &str = "/sessions/all";
/// How many rows a page may have.
pub(in crate::ui) const SIZES: [i64; 4] = [10, 25, 50, 100];
const SIZE: i64 = 25;
/// Characters that stay unencoded in addresses, so that people can read them.
const READABLE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':').remove(b'/').remove(b',').remove(b'@');

/// A column that can be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Column {
    Agent,
    /// Place, network and address.
    Place,
    Used,
    SignedIn,
    Ends,
}

impl Column {
    pub const ALL: [Self; 5] = [Self::Agent, Self::Place, Self::Used, Self::SignedIn, Self::Ends];
    const USUAL: [Self; 4] = [Self::Agent, Self::Place, Self::Used, Self::Ends];

    /// Its name in the address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Place => "place",
            Self::Used => "used",
            Self::SignedIn => "signed-in",
            Self::Ends => "ends",
        }
    }

    /// Its heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Agent => "Browser and system",
            Self::Place => "Where",
            Self::Used => "Last used",
            Self::SignedIn => "Signed in",
            Self::Ends => "Ends",
        }
    }

    /// The order that a click on its heading selects, under the API's name.
    pub fn order(self) -> &'static str {
        match self {
            Self::Agent => "last_user_agent",
            Self::Place => "country",
            Self::Used => "last_used",
            Self::SignedIn => "created",
            Self::Ends => "expires",
        }
    }
}

/// How the table is drawn, unless the address says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ui) struct Remembered {
    size: i64,
    columns: Vec<Column>,
    is_dense: bool,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { size: SIZE, columns: Column::USUAL.to_vec(), is_dense: false }
    }
}

impl Remembered {
    /// The cookie that holds it.
    const COOKIE: &str = "rollcall_view";

    /// What a browser remembers; invalid parts are ignored.
    fn of(headers: &HeaderMap) -> Self {
        cookies::find(headers, Self::COOKIE).and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// Such as `50.1.agent.used`: rows on a page, whether compact, columns.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let size = parts.next()?.parse().ok().filter(|size| SIZES.contains(size))?;
        let is_dense = parts.next()? == "1";
        let named: Vec<&str> = parts.collect();
        let columns: Vec<Column> = Column::ALL.into_iter().filter(|column| named.contains(&column.name())).collect();
        (!columns.is_empty()).then_some(Self { size, columns, is_dense })
    }
}

impl fmt::Display for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.size, u8::from(self.is_dense))?;
        self.columns.iter().try_for_each(|column| write!(f, ".{}", column.name()))
    }
}

/// Which sessions a view lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ui) enum Among {
    /// Those that are signed in.
    #[default]
    Live,
    /// Those that ended.
    Ended,
    /// All of them.
    Both,
}

impl Among {
    pub const ALL: [Self; 3] = [Self::Live, Self::Ended, Self::Both];

    /// Its name in the address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Ended => "ended",
            Self::Both => "both",
        }
    }

    /// Its name on the page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Live => "Signed in",
            Self::Ended => "Ended",
            Self::Both => "Both",
        }
    }

    /// The state that an address asks for. Words that only ended sessions have, such as `reason:`, mean ended sessions.
    fn of(query: &Query, search: &SessionQuery) -> Self {
        let named = Self::ALL.into_iter().find(|state| query.last("state") == Some(state.name()));
        if search.is_of_ended() { Self::Ended } else { named.unwrap_or_default() }
    }
}

/// The whole view.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ui) struct View {
    pub query: SessionQuery,
    pub state: Among,
    /// After which row the page begins, of a list with ended sessions; `""`: at the first.
    pub after: String,
    /// The API's name of the order, with an optional `-`.
    pub order: String,
    pub page: i64,
    pub size: i64,
    pub columns: Vec<Column>,
    pub is_dense: bool,
    /// The parts that the address leaves out.
    remembered: Remembered,
}

const ORDER: &str = "-last_used";
/// How long a browser remembers it; browsers keep no cookie for longer.
const KEPT: Duration = Duration::from_secs(400 * 86_400);

/// Whether a query comes from the form with the view's options, which are then remembered.
pub(in crate::ui) fn is_kept(query: &Query) -> bool {
    query.last("keep") == Some("1")
}

impl View {
    /// The view of an address, for a browser that remembers nothing.
    pub fn read(query: &Query) -> Self {
        Self::drawn(query, Remembered::default())
    }

    /// The view of a request, drawn as its browser remembers.
    pub fn of(parts: &Parts) -> Self {
        Self::drawn(&Query::parse(parts.uri.query().unwrap_or_default()), Remembered::of(&parts.headers))
    }

    /// Stores in a cookie how this view is drawn.
    pub fn keep(&self, config: &Config, answer: &mut HeaderMap) {
        let remembered = Remembered { size: self.size, columns: self.columns.clone(), is_dense: self.is_dense };
        cookies::set(answer, &cookies::build(config, Remembered::COOKIE, remembered.to_string(), Some(KEPT)));
    }

    /// The address of this view for a browser that remembers how it is drawn.
    pub fn url_when_kept(&self) -> String {
        let remembered = Remembered { size: self.size, columns: self.columns.clone(), is_dense: self.is_dense };
        Self { remembered, ..self.clone() }.url()
    }

    fn drawn(query: &Query, remembered: Remembered) -> Self {
        // The form sends all options: a box that is not ticked is missing.
        let remembered = if is_kept(query) { Remembered::default() } else { remembered };
        // Old addresses: the address of a session once had a column of its own.
        let named: Vec<&str> = query.all("col").map(|name| if name == "ip" { "place" } else { name }).collect();
        let columns: Vec<Column> = Column::ALL.into_iter().filter(|column| named.contains(&column.name())).collect();
        let order = query.last("order").filter(|order| is_order(order)).unwrap_or(ORDER);
        let search = SessionQuery::parse(query.last("q").unwrap_or_default());
        Self {
            state: Among::of(query, &search),
            after: query.last("after").unwrap_or_default().to_owned(),
            query: search,
            order: order.to_owned(),
            page: query.last("page").and_then(|page| page.trim().parse().ok()).filter(|page| *page > 0).unwrap_or(1),
            size: query
                .last("size")
                .and_then(|size| size.parse().ok())
                .filter(|size| SIZES.contains(size))
                .unwrap_or(remembered.size),
            columns: if columns.is_empty() { remembered.columns.clone() } else { columns },
            is_dense: query.last("dense").map_or(remembered.is_dense, |dense| dense == "1"),
            remembered,
        }
    }

    pub fn shows(&self, column: impl std::borrow::Borrow<Column>) -> bool {
        self.columns.contains(column.borrow())
    }

    pub fn sorts(&self) -> Vec<Sort> {
        Sort::parse_list(&self.order).unwrap_or_default()
    }

    /// Its page of the list; the last one where there are fewer.
    pub fn wanted(&self) -> Wanted {
        Wanted::page_or_last(self.page, self.size)
    }

    /// The parameters of this view's address, as names and values.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        let query = self.query.to_string();
        if !query.is_empty() {
            parameters.push(("q", query));
        }
        if self.state != Among::Live {
            parameters.push(("state", self.state.name().to_owned()));
        }
        if !self.after.is_empty() {
            parameters.push(("after", self.after.clone()));
        }
        if self.order != ORDER {
            parameters.push(("order", self.order.clone()));
        }
        if self.size != self.remembered.size {
            parameters.push(("size", self.size.to_string()));
        }
        if self.columns != self.remembered.columns {
            parameters.extend(self.columns.iter().map(|column| ("col", column.name().to_owned())));
        }
        if self.is_dense != self.remembered.is_dense {
            parameters.push(("dense", u8::from(self.is_dense).to_string()));
        }
        if self.page > 1 {
            parameters.push(("page", self.page.to_string()));
        }
        parameters
    }

    /// The same except those with these names: the hidden fields of a form that has fields for
    /// these.
    pub fn parameters_but(&self, names: &[&str]) -> Vec<(&'static str, String)> {
        self.parameters().into_iter().filter(|(name, _)| !names.contains(name)).collect()
    }

    /// Its address.
    pub fn url(&self) -> String {
        address(PATH, &self.parameters())
    }

    /// The address of another page about the same sessions.
    pub fn url_of(&self, page: &str) -> String {
        address(&format!("{PATH}/{page}"), &self.parameters())
    }

    /// The address of the file with all sessions of the view, from the first page on.
    pub fn url_of_export(&self, format: &str) -> String {
        let mut parameters = self.parameters_but(&["page", "after"]);
        parameters.push(("format", format.to_owned()));
        address(&format!("{PATH}/export"), &parameters)
    }

    pub fn with_query(&self, text: &str) -> Self {
        Self { query: SessionQuery::parse(text), page: 1, after: String::new(), ..self.clone() }
    }

    /// The address of the same search among these sessions. What only ended sessions have is left out of a search of
    /// others.
    pub fn url_of_state(&self, state: Among) -> String {
        let query = if state == Among::Ended { self.query.to_string() } else { self.query.of_live() };
        Self { state, ..self.with_query(&query) }.url()
    }

    /// The address of the same search among sessions that live there.
    pub fn url_of_origin(&self, origin: Origin) -> String {
        self.with_query(&self.query.with_origin(origin)).url()
    }

    /// The address of all sessions, live and ended, that were last used from this address.
    pub fn url_of_address(&self, ip: &str) -> String {
        Self { state: Among::Both, order: ORDER.to_owned(), ..self.with_query(&token("ip", ip)) }.url()
    }

    /// The address of the page that begins after this row.
    pub fn url_after(&self, after: &str) -> String {
        Self { after: after.to_owned(), ..self.clone() }.url()
    }

    /// The address with one more token, or without it if it is there already; and whether it is.
    pub fn url_toggling(&self, token: &str) -> (String, bool) {
        let there = self.query.tokens.iter().position(|known| known.text.eq_ignore_ascii_case(token));
        let text = there.map_or_else(|| self.query.with(token), |at| self.query.without(at));
        (self.with_query(&text).url(), there.is_some())
    }

    pub fn url_at_page(&self, page: i64) -> String {
        Self { page, ..self.clone() }.url()
    }

    /// The address ordered by a column, in the other direction if it is ordered by it already; and
    /// the present order, in ARIA's words.
    pub fn url_ordered_by(&self, name: &str) -> (String, Option<&'static str>) {
        let (now, order) = match (self.order.strip_prefix('-'), self.order.as_str()) {
            (Some(by), _) if by == name => (Some("descending"), name.to_owned()),
            (None, by) if by == name => (Some("ascending"), format!("-{name}")),
            // Times begin with the latest, all else with the first.
            _ => (None, if matches!(name, "last_used" | "created") { format!("-{name}") } else { name.to_owned() }),
        };
        (Self { order, page: 1, ..self.clone() }.url(), now)
    }

    /// Whether ending what it shows is offered. A search with a mistake shows more than was meant; sessions that live at two
    /// places are ended by one search each.
    pub fn may_be_ended(&self) -> bool {
        self.query.mistakes().is_none() && self.query.origin() != Some(Origin::All)
    }

    /// Whether it is about sessions of the watched authentik alone.
    pub fn is_watched(&self) -> bool {
        self.query.origin() == Some(Origin::Authentik)
    }

    /// The filter that the understood part of the search means, for showing sessions; `current` is the
    /// session that asks.
    pub async fn shown(&self, app: &App, now: Timestamp, current: Option<SessionId>) -> Result<SessionFilter, StoreError> {
        self.complete(app, self.query.understood(now), current).await
    }

    /// The filter for everything except showing sessions.
    ///
    /// # Errors
    /// [`PageError::Mistaken`] when a part of the search was not understood.
    pub async fn exact(&self, app: &App, now: Timestamp, current: Option<SessionId>) -> Result<SessionFilter, PageError> {
        Ok(self.complete(app, self.query.filter(now)?, current).await?)
    }

    async fn complete(&self, app: &App, filter: SessionFilter, current: Option<SessionId>) -> Result<SessionFilter, StoreError> {
        let mut filter = question::spelled(app, filter).await?;
        filter.except = current.filter(|_| self.query.spares_current());
        Ok(filter)
    }
}

fn is_order(text: &str) -> bool {
    let name = text.strip_prefix('-').unwrap_or(text);
    matches!(name, "username" | "last_ip") || Column::ALL.iter().any(|column| column.order() == name)
}

/// A path with parameters, encoded.
pub(in crate::ui) fn address<N: AsRef<str>>(path: &str, parameters: &[(N, String)]) -> String {
    let mut url = path.to_owned();
    for (name, value) in parameters {
        let mark = if url.contains('?') { '&' } else { '?' };
        // Writing to a string does not fail.
        let _ = write!(url, "{mark}{}={}", name.as_ref(), utf8_percent_encode(value, READABLE));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_holds_the_whole_view() {
        let text = "q=user:\"a%20b\"+country:de&order=expires&size=50&col=place&col=used&dense=1&page=3";
        let view = View::read(&Query::parse(text));
        assert_eq!((view.order.as_str(), view.page, view.size, view.is_dense), ("expires", 3, 50, true));
        assert_eq!(view.columns, [Column::Place, Column::Used]);
        let url = view.url();
        assert_eq!(View::read(&Query::parse(url.split_once('?').unwrap().1)), view, "{url}");
        assert_eq!(View::read(&Query::parse("")).url(), PATH);
    }

    #[test]
    fn a_browser_remembers_how_the_table_is_drawn() {
        let kept = View::read(&Query::parse("q=fire&keep=1&size=50&col=agent&col=used&dense=1"));
        assert_eq!(kept.url_when_kept(), "/sessions/all?q=fire");
        let mut answer = HeaderMap::new();
        let config = Config::load(&crate::config::Flags::default(), std::iter::empty()).unwrap();
        kept.keep(&config, &mut answer);
        let cookie = answer["set-cookie"].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("rollcall_view=50.1.agent.used; "), "{cookie}");
        let browser = |cookie: &str, query: &str| {
            let request = axum::http::Request::get(format!("/sessions/all?{query}")).header("cookie", cookie);
            View::of(&request.body(()).unwrap().into_parts().0)
        };
        let view = browser("rollcall_view=50.1.agent.used", "q=fire");
        assert_eq!((view.size, view.is_dense, view.url()), (50, true, "/sessions/all?q=fire".to_owned()));
        assert_eq!(view.columns, [Column::Agent, Column::Used]);
        let other = browser("rollcall_view=50.1.agent.used", "size=10&dense=0&col=ends");
        assert_eq!((other.size, other.is_dense), (10, false));
        assert_eq!(other.url(), "/sessions/all?size=10&col=ends&dense=0");
        let none_ticked = browser("rollcall_view=50.1.agent.used", "keep=1&size=25");
        assert_eq!(none_ticked, View::read(&Query::parse("")));
        for nonsense in
            ["rollcall_view=", "rollcall_view=7.1.agent", "rollcall_view=50", "rollcall_view=50.1.x", "rollcall_view=\"..\""]
        {
            assert_eq!(browser(nonsense, ""), View::read(&Query::parse("")), "{nonsense}");
        }
    }

    #[test]
    fn nonsense_is_the_usual_view() {
        let view = View::read(&Query::parse("order=nonsense&size=7&col=x&page=-4&dense=yes"));
        assert_eq!(view, View::read(&Query::parse("")));
        for order in ["--last_used", "last_used,expires", "uuid", ""] {
            assert_eq!(View::read(&Query::parse(&format!("order={order}"))).order, ORDER, "{order}");
        }
    }

    #[test]
    fn links_change_one_thing() {
        let view = View::read(&Query::parse("q=fire&page=4"));
        assert_eq!(view.url_at_page(5), "/sessions/all?q=fire&page=5");
        assert_eq!(view.url_toggling("country:DE"), ("/sessions/all?q=fire%20country:DE".into(), false));
        assert_eq!(view.url_toggling("fire"), ("/sessions/all".into(), true));
        assert_eq!(view.url_ordered_by("last_used"), ("/sessions/all?q=fire&order=last_used".into(), Some("descending")));
        assert_eq!(view.url_of_origin(Origin::Authentik), "/sessions/all?q=fire%20source:authentik");
        let there = View::read(&Query::parse("q=source:authentik+fire"));
        assert_eq!(there.url_of_origin(Origin::All), "/sessions/all?q=fire%20source:all");
        assert_eq!(there.url_of_origin(Origin::Rollcall), "/sessions/all?q=fire");
        assert_eq!(view.url_ordered_by("username"), ("/sessions/all?q=fire&order=username".into(), None));
    }
}

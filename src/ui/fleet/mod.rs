//! `/sessions/all`: the sessions of all users, for visitors who may see them.

mod copy;
pub mod end;
pub mod export;
mod history;
pub mod live;
pub mod map;
pub mod offers;
mod rows;
pub mod session;
pub(in crate::ui) mod view;
pub(in crate::ui) mod viewer;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use crate::actions::app::App;
use crate::domain::facets::{DAY, Facets};
use crate::domain::filters::Word;
use crate::domain::listing::SessionFilter;
use crate::domain::query::{Mistakes, token, words};
use crate::domain::{Timestamp, country};
use crate::http::query::Query;
use crate::store::StoreError;
use crate::ui::error::PageError;
use crate::ui::fleet::copy::{CopyLine, OriginLink, origins};
use crate::ui::fleet::offers::{ApiNames, Offers};
use crate::ui::fleet::rows::{Look, RenderedRow};
use crate::ui::fleet::view::{Among, Column, PATH, SIZES, View, is_kept};
use crate::ui::visitor::Visitor;
use crate::ui::{Frame, PageResult, Section, assets, page};

#[derive(Template)]
#[template(path = "pages/all_sessions.html")]
struct SessionsPage {
    frame: Frame,
    live_js: &'static str,
    look: Look,
    count: i64,
    pages: i64,
    last_url: String,
    users: i64,
    rows: Vec<RenderedRow>,
    chips: Vec<Chip>,
    mistakes: Option<Mistakes>,
    /// The search language's keys, for its help.
    words: Vec<Word>,
    facets: Vec<Facet>,
    headings: Vec<Heading>,
    offers: Offers,
    states: Vec<(Among, String)>,
    origins: Vec<OriginLink>,
    copy: Option<CopyLine>,
}

/// The counts of the page, without the rest of it: fetched again when sessions change.
#[derive(Template)]
#[template(path = "parts/counts.html")]
struct CountsPart {
    count: i64,
    users: i64,
    facets: Vec<Facet>,
    copy: Option<CopyLine>,
}

/// A part of the search, and the address without it.
struct Chip {
    text: String,
    without: String,
}

/// Counts of one kind.
struct Facet {
    title: &'static str,
    entries: Vec<FacetEntry>,
}

struct FacetEntry {
    label: String,
    count: i64,
    /// In percent.
    share: i64,
    url: String,
    is_on: bool,
}

/// The head of a column.
struct Heading {
    text: &'static str,
    /// The address of the table ordered by it.
    url: String,
    /// The present order by this column, in ARIA's words.
    order: Option<&'static str>,
}

/// The result of a view.
struct Found {
    count: i64,
    pages: i64,
    rows: Vec<RenderedRow>,
    facets: Facets,
    view: View,
}

/// The question of a request, and who asks it.
struct Asked {
    visitor: Visitor,
    names: Option<ApiNames>,
    look: Look,
    filter: SessionFilter,
    now: Timestamp,
}

async fn asked(app: &App, request: Request) -> Result<Asked, PageError> {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(app, &parts).await?;
    let look = look(&visitor, View::of(&parts))?;
    let now = app.clock.now();
    let filter = shown(app, &visitor, &look.view, now).await?;
    Ok(Asked { names: parts.extensions.get().copied(), visitor, look, filter, now })
}

/// The table.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let is_kept = is_kept(&Query::parse(request.uri().query().unwrap_or_default()));
    let Asked { visitor, names, look, filter, now } = asked(&app, request).await?;
    if is_kept {
        let mut response = Redirect::to(&look.view.url_when_kept()).into_response();
        look.view.keep(&app.config, response.headers_mut());
        return Ok(response);
    }
    if look.view.state != Among::Live {
        return history::show(&app, &visitor, look, filter, now).await;
    }
    let found = find(&app, look.clone(), filter.clone(), now).await?;
    let look = Look { view: found.view, ..look };
    let view = &look.view;
    let headings = view.columns.iter().map(|column| {
        let (url, order) = view.url_ordered_by(column.order());
        Heading { text: column.heading(), url, order }
    });
    let template = SessionsPage {
        frame: visitor.frame(&app, Section::Sessions),
        live_js: assets::live_js(),
        count: found.count,
        pages: found.pages,
        last_url: view.url_at_page(found.pages),
        users: found.facets.users,
        rows: found.rows,
        chips: chips(view),
        states: states(view),
        origins: origins(&app, view),
        copy: CopyLine::of(&app, &filter).await?,
        mistakes: view.query.mistakes(),
        words: words().collect(),
        facets: facets(&app, view, &found.facets, found.count),
        headings: headings.collect(),
        offers: Offers::new(&app, &visitor.client, names, view, &filter),
        look,
    };
    Ok(page(StatusCode::OK, &template))
}

/// The parts of a view's search.
fn chips(view: &View) -> Vec<Chip> {
    let tokens = view.query.tokens.iter().enumerate();
    tokens.map(|(at, token)| Chip { text: token.text.clone(), without: view.with_query(&view.query.without(at)).url() }).collect()
}

/// The addresses of the same search among other sessions.
fn states(view: &View) -> Vec<(Among, String)> {
    Among::ALL.into_iter().map(|state| (state, view.url_of_state(state))).collect()
}

/// The counts of a view's page.
pub async fn counts(State(app): State<App>, request: Request) -> PageResult {
    let Asked { look, filter, now, .. } = asked(&app, request).await?;
    let (count, found) = (app.store.count_sessions(&filter).await?, app.store.count_facets(&filter, now).await?);
    let facets = facets(&app, &look.view, &found, count);
    let copy = CopyLine::of(&app, &filter).await?;
    Ok(page(StatusCode::OK, &CountsPart { count, users: found.users, facets, copy }))
}

/// How this visitor sees the table.
///
/// # Errors
/// [`PageError::SignedOut`], and [`PageError::Forbidden`] for those who see only their own sessions.
fn look(visitor: &Visitor, view: View) -> Result<Look, PageError> {
    let principal = visitor.principal(&view.url())?;
    principal.must_see_all()?;
    Ok(Look {
        current: visitor.session.as_ref().map(|session| session.uuid),
        may_end: visitor.rights.may_delete_sessions && view.may_be_ended(),
        view,
        is_administrator: visitor.rights.may_inspect(),
    })
}

/// The sessions that a view shows; never more than the visitor may see.
async fn shown(app: &App, visitor: &Visitor, view: &View, now: Timestamp) -> Result<SessionFilter, PageError> {
    let current = visitor.session.as_ref().map(|session| session.uuid);
    let filter = view.shown(app, now, current).await?;
    Ok(SessionFilter { visible_to: visitor.principal(PATH)?.visible(), ..filter })
}

/// The sessions to end or export for a view; never more than the visitor may see.
///
/// # Errors
/// [`PageError::Mistaken`] when a part of the search was not understood.
async fn exact(app: &App, visitor: &Visitor, view: &View) -> Result<SessionFilter, PageError> {
    let current = visitor.session.as_ref().map(|session| session.uuid);
    let filter = view.exact(app, app.clock.now(), current).await?;
    Ok(SessionFilter { visible_to: visitor.principal(PATH)?.visible(), ..filter })
}

/// Reads a page of the table, and the counts next to it.
async fn find(app: &App, mut look: Look, filter: SessionFilter, now: Timestamp) -> Result<Found, StoreError> {
    let page = app.store.page(&filter, &look.view.sorts(), look.view.wanted()).await?;
    look.view.page = page.number;
    let rows = rows::render(app, &app.store.read(), &page.rows, &look, now).await?;
    let facets = app.store.count_facets(&filter, now).await?;
    Ok(Found { count: page.count, pages: page.pages, rows, facets, view: look.view })
}

/// The counts next to the table, each a link that filters.
fn facets(app: &App, view: &View, facets: &Facets, total: i64) -> Vec<Facet> {
    let entry = |label: String, count: i64, key: &str, value: &str| {
        let (url, is_on) = view.url_toggling(&token(key, value));
        FacetEntry { label, count, share: count * 100 / total.max(1), url, is_on }
    };
    let family = |key: &'static str, counts: &[(String, i64)]| -> Vec<FacetEntry> {
        counts.iter().map(|(family, count)| entry(known(family), *count, key, family)).collect()
    };
    let named = facets.countries.iter().filter(|(code, _)| !code.is_empty());
    let countries = named.map(|(code, count)| entry(country::name(code).to_owned(), *count, "country", code));
    let networks = facets.networks.iter().map(|network| {
        let name = app.geoip.autonomous_system(network.sample).filter(|it| it.number == network.asn).and_then(|it| it.organization);
        entry(name.unwrap_or_else(|| format!("AS{}", network.asn)), network.count, "network", &network.asn.to_string())
    });
    let days = facets.days.iter().map(|(day, count)| {
        let date = Timestamp(day * DAY).to_string();
        let date = date.get(..10).unwrap_or_default();
        entry(date.to_owned(), *count, "used", date)
    });
    let all = [
        Facet { title: "Country", entries: countries.collect() },
        Facet { title: "Network", entries: networks.collect() },
        Facet { title: "Browser", entries: family("browser", &facets.browsers) },
        Facet { title: "System", entries: family("os", &facets.systems) },
        Facet { title: "Last used on (UTC)", entries: days.collect() },
    ];
    all.into_iter().filter(|facet| !facet.entries.is_empty()).collect()
}

fn known(family: &str) -> String {
    if family == "Other" { "Not known".into() } else { family.to_owned() }
}

//! The list's query parameters → a [`SessionFilter`], an order and a page (`docs/compat.md` 8 to 11).

use serde_json::{Map, Value, json};

use crate::actions::principal::Principal;
use crate::api::django;
use crate::api::django::Int;
use crate::api::error::ApiError;
use crate::domain::listing::{EndedFilter, EndedSortKey, SessionFilter, Sort};
use crate::domain::search;
use crate::domain::search::is_python_space;
use crate::domain::{Address, EndReason, Network, SessionId, Timestamp, UserId};
use crate::http::query::Query;

/// The page size without `page_size`, and the largest.
const DEFAULT_PAGE_SIZE: i64 = 20;
const MAX_PAGE_SIZE: i64 = 100;

/// All parameters a list knows; others are ignored, or refused where `api.strict_query` is set.
const KNOWN: &[&str] = &[
    "asn",
    "browser",
    "country",
    "device",
    "except",
    "expires__gte",
    "expires__lte",
    "format",
    "last_used__gte",
    "last_used__lte",
    "network",
    "ordering",
    "os",
    "page",
    "page_size",
    "search",
    "session__last_ip",
    "session__last_user_agent",
    "user",
    "user__username",
];

/// What a list is asked for, but for the page, which depends on how many rows match.
pub struct ListRequest {
    /// Which sessions.
    pub filter: SessionFilter,
    /// In which order.
    pub sorts: Vec<Sort>,
    /// How many rows a page has, 1 to 100.
    pub page_size: i64,
}

/// Reads the parameters. All bad filters are reported together, before a bad search.
///
/// # Errors
/// 400 with one key for each bad filter, or a list for a bad search.
pub fn read(query: &Query, who: &Principal, is_strict: bool) -> Result<ListRequest, ApiError> {
    let mut filter = read_filter(query, |name| !is_strict || KNOWN.contains(&name), Map::new())?;
    filter.visible_to = who.visible();
    // Whoever sees only their own sessions is not asked whose: authentik does not know `user`, and
    // the recorded cases hold us to that for such callers.
    if filter.visible_to.is_some() {
        filter.user = None;
    }
    Ok(ListRequest {
        filter,
        sorts: Sort::parse_list(query.last("ordering").unwrap_or_default()),
        page_size: page_size(query.last("page_size")),
    })
}

/// What a list of ended sessions is asked for, but for the page.
pub struct EndedRequest {
    /// Which.
    pub filter: EndedFilter,
    /// In which order.
    pub sorts: Vec<Sort<EndedSortKey>>,
    /// How many rows a page has, 1 to 100.
    pub page_size: i64,
}

/// The parameters that only the list of ended sessions has.
const KNOWN_OF_ENDED: &[&str] = &["ended__gte", "ended__lte", "ended_by", "reason"];

/// Reads the parameters of a list of ended sessions.
///
/// # Errors
/// As for [`read`].
pub fn read_ended(query: &Query, who: &Principal, is_strict: bool) -> Result<EndedRequest, ApiError> {
    let mut fields = Fields { query, errors: Map::new() };
    let mut filter = EndedFilter {
        session: SessionFilter::default(),
        ended_gte: fields.read("ended__gte", instant),
        ended_lte: fields.read("ended__lte", instant),
        reason: fields.read("reason", |word| EndReason::parse(word).ok_or("There is no such reason.")),
        ended_by: fields.text("ended_by"),
    };
    let is_known = |name: &str| !is_strict || KNOWN.contains(&name) || KNOWN_OF_ENDED.contains(&name);
    filter.session = read_filter(query, is_known, fields.errors)?;
    filter.session.visible_to = who.visible();
    Ok(EndedRequest {
        filter,
        sorts: Sort::parse_ended_list(query.last("ordering").unwrap_or_default()),
        page_size: page_size(query.last("page_size")),
    })
}

/// Reads the filters and the search among the parameters, those that are not known refused; `errors`
/// is what is wrong already.
///
/// # Errors
/// As for [`read`].
pub fn read_filter(query: &Query, is_known: impl Fn(&str) -> bool, errors: Map<String, Value>) -> Result<SessionFilter, ApiError> {
    let mut fields = Fields { query, errors };
    let whole = |text: &str| django::int(text).ok_or("Enter a whole number.");
    let mut filter = SessionFilter {
        visible_to: None,
        username: fields.text("user__username"),
        user: fields.read("user", whole).map(|id| UserId(id.value().unwrap_or(-1))),
        last_ip: fields.read("session__last_ip", |text| Address::parse(text).ok_or("Enter a valid IPv4 or IPv6 address.")),
        user_agent: fields.text("session__last_user_agent"),
        network: fields.read("network", |text| Network::parse(text).ok_or("Enter a valid network, such as 10.0.0.0/8.")),
        country: fields.read("country", country),
        asn: fields.read("asn", whole).map(|asn| asn.value().unwrap_or(-1)),
        browser: fields.text("browser"),
        os: fields.text("os"),
        device: fields.text("device"),
        last_used_gte: fields.read("last_used__gte", instant),
        last_used_lte: fields.read("last_used__lte", instant),
        expires_gte: fields.read("expires__gte", instant),
        expires_lte: fields.read("expires__lte", instant),
        search: Vec::new(),
        except: fields.read("except", |text| SessionId::parse(text).ok_or("Enter a valid UUID.")),
    };
    refuse_unknown(query, is_known, &mut fields.errors);
    if !fields.errors.is_empty() {
        return Err(ApiError::Parameters(fields.errors));
    }
    let text = query.last("search").unwrap_or_default();
    if text.contains('\0') {
        return Err(ApiError::Search("Null characters are not allowed."));
    }
    filter.search = search::folded_terms(text).ok_or(ApiError::Search("Too many search terms: at most 32 are allowed."))?;
    Ok(filter)
}

/// Whether a parameter says which sessions, and not in which order or which page.
#[must_use]
pub fn is_filter(name: &str) -> bool {
    KNOWN.contains(&name) && !matches!(name, "format" | "ordering" | "page" | "page_size")
}

/// Notes each parameter that is not known.
pub fn refuse_unknown(query: &Query, is_known: impl Fn(&str) -> bool, errors: &mut Map<String, Value>) {
    for (name, _) in query.pairs().filter(|(name, _)| !is_known(name)) {
        errors.insert(name.to_owned(), json!(["Unknown parameter."]));
    }
}

/// A positive integer up to 100; anything else that is given means 100.
fn page_size(text: Option<&str>) -> i64 {
    match text.map(django::int) {
        None => DEFAULT_PAGE_SIZE,
        Some(Some(Int::Fits(size))) if size > 0 => size.min(MAX_PAGE_SIZE),
        Some(_) => MAX_PAGE_SIZE,
    }
}

/// The number of the page asked for, when there are `pages` of them.
///
/// # Errors
/// 404 when it is no integer, below 1, or beyond the last page.
pub fn page_number(text: Option<&str>, pages: i64) -> Result<i64, ApiError> {
    let number = match text.unwrap_or_default() {
        "" => Some(1),
        "last" => Some(pages),
        text => django::int(text).and_then(Int::value),
    };
    number.filter(|number| (1..=pages).contains(number)).ok_or(ApiError::InvalidPage)
}

fn country(text: &str) -> Result<String, &'static str> {
    let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_code { Ok(text.to_ascii_uppercase()) } else { Err("Enter a country code of two letters.") }
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).ok_or("Enter a valid date/time.")
}

/// Reads filters and gathers what is wrong with them.
struct Fields<'a> {
    query: &'a Query,
    errors: Map<String, Value>,
}

impl Fields<'_> {
    /// A filter's text: stripped of white space, `None` when empty.
    fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, |text| Ok(text.to_owned()))
    }

    fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let text = self.query.last(name)?.trim_matches(is_python_space);
        if text.is_empty() {
            return None;
        }
        let parsed = if text.contains('\0') { Err("Null characters are not allowed.") } else { parse(text) };
        parsed.inspect_err(|why| drop(self.errors.insert(name.to_owned(), json!([why])))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_as_authentik_reads_them() {
        assert_eq!(page_size(None), 20);
        for (text, want) in
            [("3", 3), ("100", 100), ("101", 100), ("", 100), ("0", 100), ("-1", 100), ("x", 100), ("1.5", 100), (" +2_0 ", 20)]
        {
            assert_eq!(page_size(Some(text)), want, "{text:?}");
        }
    }

    #[test]
    fn pages_exist_or_not() {
        let page = |text: &str, pages| page_number(Query::parse(text).last("page"), pages).ok();
        assert_eq!(page("", 3), Some(1));
        assert_eq!(page("page=", 3), Some(1));
        assert_eq!(page("page=last", 3), Some(3));
        assert_eq!(page("page=%202%20", 3), Some(2));
        for bad in ["page=0", "page=-1", "page=4", "page=Last", "page=1.0", "page=99999999999999999999"] {
            assert_eq!(page(bad, 3), None, "{bad}");
        }
    }
}

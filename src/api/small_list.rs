//! Lists that are made of a few objects in memory: filtered, searched, ordered and paged by their fields, as
//! lists from the database are.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;

use crate::api::error::{ApiError, FieldErrors};
use crate::api::list::{Empty, ListTable, Pagination, no_such_choice};
use crate::domain::Timestamp;
use crate::domain::filters::{About, FilterSet, Kind};
use crate::domain::fold::fold;
use crate::domain::listing::Sort;
use crate::domain::names::composed;
use crate::domain::page::Found;
use crate::http::query::Query;

/// A list whose rows are objects with fields.
pub trait Fields: Clone + Copy + Default + PartialEq + Send + Sync + 'static {
    /// The filters: each is the name of a field, which is compared exactly.
    const FILTERS: &'static [About];
    /// The filters whose name in the API is not that of the field.
    const NAMES: &'static [(&'static str, &'static str)];
    /// The fields that the search looks at.
    const SEARCHED: &'static [&'static str];
    /// The fields by which the list can be ordered; the first one is the order without `ordering`.
    const ORDERS: &'static [&'static str];
}

/// A row of [`Fields::FILTERS`].
#[must_use]
pub const fn about(name: &'static str, kind: Kind, help: &'static str) -> About {
    About { name, kind, help, words: &[], is_repeated: false }
}

/// What such a list is filtered by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldFilter<L> {
    values: BTreeMap<&'static str, String>,
    search: Vec<String>,
    list: PhantomData<L>,
}

impl<L: Fields> FieldFilter<L> {
    /// The value of a filter, as it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a filter that is an instant.
    #[must_use]
    pub fn instant(&self, name: &str) -> Option<Timestamp> {
        self.get(name).and_then(Timestamp::parse)
    }

    /// The folded terms of the search.
    #[must_use]
    pub fn terms(&self) -> &[String] {
        &self.search
    }
}

impl<L: Fields> FilterSet for FieldFilter<L> {
    fn all() -> impl Iterator<Item = &'static About> + Send {
        L::FILTERS.iter()
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), &'static str> {
        let about = L::FILTERS.iter().find(|about| about.name == name).ok_or("There is no such filter.")?;
        if matches!(about.kind, Kind::Instant) {
            Timestamp::parse(text).ok_or("Enter a valid date/time.")?;
        }
        self.values.insert(about.name, if is_name(about.name) { composed(text) } else { text.to_owned() });
        Ok(())
    }

    fn show(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    fn search(&mut self) -> &mut Vec<String> {
        &mut self.search
    }
}

/// How the list is read.
#[must_use]
pub const fn table<L: Fields>(order_help: &'static str, search_help: &'static str) -> ListTable<FieldFilter<L>, &'static str> {
    ListTable {
        names: L::NAMES,
        order: |name| L::ORDERS.iter().find(|known| **known == name).copied(),
        default_order: Sort { key: "", is_descending: false },
        order_help,
        search_help,
        filters: PhantomData,
    }
}

/// A page of such a list.
#[derive(Serialize)]
pub struct SmallPage {
    pagination: Pagination,
    results: Vec<Value>,
    autocomplete: Empty,
}

/// Describes pages of such lists: what [`SmallPage`] writes, with rows of one kind.
macro_rules! small_pages {
    ($($(#[doc = $doc:literal])+ $name:ident $(<$life:lifetime>)? of $row:ty = $schema:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(utoipa::ToSchema)]
        #[schema(as = $schema)]
        #[expect(dead_code, reason = "describes what SmallPage writes")]
        pub struct $name $(<$life>)? {
            pagination: crate::api::list::Pagination,
            results: Vec<$row>,
            /// Always an empty object here.
            #[schema(value_type = Object)]
            autocomplete: serde_json::Value,
        }
    )+};
}
pub(in crate::api) use small_pages;

/// Reads the parameters and gives the page of `rows` that they ask for. Unknown parameters are errors with `is_strict`.
///
/// # Errors
/// 400 for a wrong filter, 404 for a page that is not there.
pub fn page<L: Fields>(
    list: &ListTable<FieldFilter<L>, &'static str>,
    query: &Query,
    is_strict: bool,
    rows: Vec<Value>,
) -> Result<SmallPage, ApiError> {
    page_with(list, query, is_strict, &[], rows)
}

/// The same for an address that has parameters of its own.
///
/// # Errors
/// As for [`page`].
pub fn page_with<L: Fields>(
    list: &ListTable<FieldFilter<L>, &'static str>,
    query: &Query,
    is_strict: bool,
    own: &[&str],
    rows: Vec<Value>,
) -> Result<SmallPage, ApiError> {
    refuse_choices(list, query)?;
    let request = list.read_with(query, is_strict, own)?;
    let mut rows: Vec<Value> = rows.into_iter().filter(|row| matches(&request.filter, row)).collect();
    let by = |row: &Value, key: &str| text(row.get(if key.is_empty() { L::ORDERS.first().copied().unwrap_or("pk") } else { key }));
    rows.sort_by(|one, other| {
        let compare = |sort: &Sort<&'static str>| {
            let order = by(one, sort.key).cmp(&by(other, sort.key));
            if sort.is_descending { order.reverse() } else { order }
        };
        request.sorts.iter().map(compare).find(|order| order.is_ne()).unwrap_or_else(|| by(one, "pk").cmp(&by(other, "pk")))
    });
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let wanted = request.wanted(std::time::Instant::now())?;
    let found: Found<Value> = match wanted.window(count) {
        Some(window) => {
            let (offset, limit) =
                (usize::try_from(window.offset).unwrap_or(usize::MAX), usize::try_from(window.limit).unwrap_or(0));
            wanted.found(count, rows.into_iter().skip(offset).take(limit).collect())
        }
        None => wanted.found(count, Vec::new()),
    };
    Ok(SmallPage { pagination: Pagination::of(&found)?, results: found.rows, autocomplete: Empty {} })
}

/// Django's text for a value that is none of the choices names the value.
///
/// # Errors
/// 400.
pub fn refuse_choices<L: Fields>(list: &ListTable<FieldFilter<L>, &'static str>, query: &Query) -> Result<(), ApiError> {
    let mut errors = FieldErrors::default();
    for about in L::FILTERS {
        let (Kind::Choice(words), name) = (about.kind, list.name_of(about)) else { continue };
        let given = query.last(&name).unwrap_or_default().trim();
        if !given.is_empty() && !words().contains(&given) {
            errors.add(&name, no_such_choice(given));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Parameters(errors)) }
}

/// Whether a field holds a name, which is stored in normalisation form C.
fn is_name(field: &str) -> bool {
    matches!(field, "name" | "username")
}

fn matches<L: Fields>(filter: &FieldFilter<L>, row: &Value) -> bool {
    let is_equal = |(name, wanted): (&&str, &String)| match row.get(*name) {
        Some(Value::Bool(is)) => match wanted.as_str() {
            "true" | "True" => *is,
            "false" | "False" => !*is,
            // Django reads everything else as no filter.
            _ => true,
        },
        // Objects that it refers to, by primary key.
        Some(Value::Array(items)) => items.iter().any(|item| text(item.get("pk").or(Some(item))) == *wanted),
        value => text(value) == *wanted,
    };
    let texts: Vec<String> = L::SEARCHED.iter().map(|name| fold(&text(row.get(*name)))).collect();
    filter.values.iter().all(is_equal) && filter.search.iter().all(|term| texts.iter().any(|text| text.contains(term)))
}

/// A field as text: a text as it is, everything else as JSON.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

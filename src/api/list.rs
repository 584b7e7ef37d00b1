//! Lists: page, size, order, search, filters and unknown parameters, read from one table for each
//! resource (`docs/compat.md` 8 to 11). The parameters' description comes from the same table.

use std::borrow::Cow;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

use crate::api::django;
use crate::api::django::Int;
use crate::api::error::{ApiError, FieldErrors};
use crate::domain::filters::{About, FilterSet, Kind};
use crate::domain::listing::Sort;
use crate::domain::page::{Found, Wanted};
use crate::domain::search;
use crate::http::query::Query;

/// The page size without `page_size`, and the largest.
const DEFAULT_PAGE_SIZE: i64 = 20;
const MAX_PAGE_SIZE: i64 = 100;

/// The parameters that all lists have, in addition to filters.
const COMMON: [&str; 4] = ["ordering", "page", "page_size", "search"];

/// How a resource is listed. `F` are its filters, `K` is what it is ordered by.
pub struct ListTable<F, K> {
    /// Filters whose name in the API is another one: the filter's name, and authentik's. In all others
    /// `_gte` and `_lte` become `__gte` and `__lte`, and the rest stays. A filter that is there again has
    /// another name, which older clients use.
    pub names: &'static [(&'static str, &'static str)],
    /// Reads one name of an order, without its `-`.
    pub order: fn(&str) -> Option<K>,
    /// The order when no known name is given.
    pub default_order: Sort<K>,
    /// Which names there are, for the description.
    pub order_help: &'static str,
    /// Which texts the search looks at, for the description.
    pub search_help: &'static str,
    /// The filters' type.
    pub filters: std::marker::PhantomData<fn() -> F>,
}

/// What a list is asked for.
#[derive(Debug, PartialEq)]
pub struct ListRequest<F, K> {
    /// Which rows.
    pub filter: F,
    /// In which order.
    pub sorts: Vec<Sort<K>>,
    /// How many rows a page has, 1 to 100.
    pub page_size: i64,
    /// `page` as it was given; which page that is depends on how many rows match ([`ListRequest::wanted`]).
    pub page: Option<String>,
}

impl<F: FilterSet, K: Copy + PartialEq> ListTable<F, K> {
    /// Reads a list's parameters. All bad filters are reported together, before a bad search. With
    /// `is_strict`, unknown parameters are bad ones, too (`api.strict_query`).
    ///
    /// # Errors
    /// 400 with one key for each bad filter, or a list for a bad search.
    pub fn read(&self, query: &Query, is_strict: bool) -> Result<ListRequest<F, K>, ApiError> {
        self.read_with(query, is_strict, &[])
    }

    /// The same for an address that has parameters of its own: these are known, too.
    ///
    /// # Errors
    /// As for [`ListTable::read`].
    pub fn read_with(&self, query: &Query, is_strict: bool, own: &[&str]) -> Result<ListRequest<F, K>, ApiError> {
        let is_common = |name: &str| name == "format" || COMMON.contains(&name) || own.contains(&name);
        let is_known = |name: &str| !is_strict || is_common(name) || self.is_filter(name);
        Ok(ListRequest {
            filter: self.read_filter(query, is_known, FieldErrors::default())?,
            sorts: self.sorts(query.last("ordering").unwrap_or_default()),
            page_size: page_size(query.last("page_size")),
            page: query.last("page").map(str::to_owned),
        })
    }

    /// Reads the filters and the search. Parameters that are not known are errors; `errors` is what is wrong
    /// already.
    ///
    /// # Errors
    /// As for [`ListTable::read`].
    pub fn read_filter(&self, query: &Query, is_known: impl Fn(&str) -> bool, mut errors: FieldErrors) -> Result<F, ApiError> {
        let mut filter = F::default();
        let mut wrong_json = None;
        for about in F::all() {
            for name in self.names_of(about) {
                let texts = query.all(&name).map(|text| text.trim_matches(django::is_space));
                let mut texts: Vec<&str> = texts.collect();
                if !about.is_repeated {
                    // The last one wins.
                    texts.drain(..texts.len().saturating_sub(1));
                }
                for text in texts.into_iter().filter(|text| !text.is_empty()) {
                    let before = filter.show(about.name).filter(|_| !about.is_repeated);
                    let read = value(about.kind, text).and_then(|value| match value {
                        Some(value) => filter.set(about.name, &value),
                        None => Ok(()),
                    });
                    let is_other = before.is_some_and(|before| filter.show(about.name).is_none_or(|now| now != before));
                    let read = if is_other { Err(TWO_NAMES) } else { read };
                    match read {
                        Ok(()) => {}
                        Err(why) if matches!(about.kind, Kind::Json) => wrong_json = Some(why),
                        Err(_) if about.is_repeated => errors.add(&name, no_such_choice(text)),
                        Err(why) => errors.set(&name, json!([why])),
                    }
                }
            }
        }
        refuse_unknown(query, is_known, &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::Parameters(errors));
        }
        if let Some(why) = wrong_json {
            return Err(ApiError::Search(why));
        }
        let text = query.last("search").unwrap_or_default();
        if text.contains('\0') {
            return Err(ApiError::Search(NO_NULL));
        }
        let terms = search::folded_terms(django::split(text));
        *filter.search() = terms.ok_or(ApiError::Search("Too many search terms: at most 32 are allowed."))?;
        Ok(filter)
    }

    /// Whether a parameter says which rows, and not in which order or on which page.
    #[must_use]
    pub fn is_filter(&self, name: &str) -> bool {
        name == "search" || self.filter_of(name).is_some()
    }

    /// The filter of that parameter.
    #[must_use]
    pub fn filter_of(&self, name: &str) -> Option<&'static About> {
        F::all().find(|about| self.names_of(about).any(|known| known == name))
    }

    /// All names of a filter in the API, the one that it is described by first.
    fn names_of(&self, about: &About) -> impl Iterator<Item = Cow<'static, str>> {
        let others = self.names.iter().filter(|(name, _)| *name == about.name).skip(1).map(|(_, name)| (*name).into());
        std::iter::once(self.name_of(about)).chain(others)
    }

    /// A filter's name in the API.
    #[must_use]
    pub fn name_of(&self, about: &About) -> Cow<'static, str> {
        let own = self.names.iter().find(|(name, _)| *name == about.name);
        if let Some((_, name)) = own {
            return (*name).into();
        }
        match about.name.rsplit_once('_') {
            Some((field, bound @ ("gte" | "lte"))) => format!("{field}__{bound}").into(),
            _ => about.name.into(),
        }
    }

    /// Reads `ordering`: names with an optional `-`, separated by commas. Unknown names are dropped, the first
    /// of equal ones decides.
    fn sorts(&self, text: &str) -> Vec<Sort<K>> {
        let mut sorts: Vec<Sort<K>> = Vec::new();
        for name in text.split(',').map(|name| name.trim_matches(django::is_space)) {
            let (name, is_descending) = name.strip_prefix('-').map_or((name, false), |rest| (rest, true));
            if let Some(key) = (self.order)(name)
                && !sorts.iter().any(|sort| sort.key == key)
            {
                sorts.push(Sort { key, is_descending });
            }
        }
        if sorts.is_empty() {
            sorts.push(self.default_order);
        }
        sorts
    }

    /// The list's parameters, for the description.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let whole = || ObjectBuilder::new().schema_type(Type::Integer).into();
        let text = || ObjectBuilder::new().schema_type(Type::String).into();
        let common = [
            parameter("page", "A page's number, from 1; `last` is the last page.", whole()),
            parameter("page_size", "Rows of a page: 20 unless given, at most 100.", whole()),
            parameter("ordering", self.order_help, text()),
            parameter("search", self.search_help, text()),
        ];
        let filters = F::all().map(|about| {
            let schema = schema_of(about.kind);
            let schema = if about.is_repeated { ArrayBuilder::new().items(RefOr::T(schema)).into() } else { schema };
            parameter(&self.name_of(about), &format!("{}.", about.help), schema)
        });
        common.into_iter().chain(filters).collect()
    }

    /// The search and the filters as fields of an object, for the description of a body.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, Schema)> {
        let types = utoipa::openapi::schema::SchemaType::from_iter([Type::String, Type::Null]);
        let search = ("search".to_owned(), ObjectBuilder::new().schema_type(types).description(Some(self.search_help)).into());
        let filters = F::all().map(|about| {
            // A whole number may be written as a text, too, a flag may not. Null and an empty text are no filter.
            let schema = match schema_of(about.kind) {
                Schema::Object(mut object) => {
                    let types = match about.kind {
                        Kind::Whole => vec![Type::Integer, Type::String, Type::Null],
                        Kind::Flag | Kind::Switch => vec![Type::Boolean, Type::Null],
                        _ => vec![Type::String, Type::Null],
                    };
                    object.schema_type = utoipa::openapi::schema::SchemaType::from_iter(types);
                    if let Some(words) = &mut object.enum_values {
                        words.extend([json!(""), Value::Null]);
                    }
                    object.description = Some(format!("{}.", about.help));
                    Schema::Object(object)
                }
                other => other,
            };
            (self.name_of(about).into_owned(), schema)
        });
        std::iter::once(search).chain(filters).collect()
    }
}

/// An optional parameter of a query, for the description.
#[must_use]
pub fn parameter(name: &str, about: &str, schema: Schema) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(utoipa::openapi::Required::False)
        .description(Some(about))
        .schema(Some(RefOr::T(schema)))
        .build()
}

/// The schema of a filter's values.
fn schema_of(kind: Kind) -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    match kind {
        Kind::Text | Kind::Address | Kind::Network | Kind::Country | Kind::Json => text,
        Kind::Flag | Kind::Switch => ObjectBuilder::new().schema_type(Type::Boolean),
        Kind::Whole => ObjectBuilder::new().schema_type(Type::Integer),
        Kind::Instant => text.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))),
        Kind::Uuid => text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
        Kind::Choice(words) => text.enum_values(Some(words())),
    }
    .into()
}

/// A type whose only use is to stand for a list's parameters in `#[utoipa::path(params(…))]`.
macro_rules! list_parameters {
    ($name:ident, $table:expr) => {
        /// The list's parameters, for the description.
        pub struct $name;

        impl utoipa::IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>) -> Vec<utoipa::openapi::path::Parameter> {
                $table.parameters()
            }
        }
    };
}
pub(in crate::api) use list_parameters;

/// A filter under two names with two values.
const TWO_NAMES: &str = "This filter is given under another name, too, with another value.";
const NO_NULL: &str = "Null characters are not allowed.";

/// What is wrong with a value that is none of those there are.
#[must_use]
pub fn no_such_choice(value: impl std::fmt::Display) -> String {
    format!("Select a valid choice. {value} is not one of the available choices.")
}

/// A parameter's text as authentik reads it → a text that the filter reads; `None`: no filter.
fn value(kind: Kind, text: &str) -> Result<Option<String>, &'static str> {
    if text.contains('\0') {
        return Err(NO_NULL);
    }
    match kind {
        // A number that no key can be is one that nothing has.
        Kind::Whole => {
            let number = django::int(text).ok_or("Enter a whole number.")?;
            Ok(Some(number.value().unwrap_or(-1).to_string()))
        }
        Kind::Uuid => django::uuid(text).map(|id| Some(id.to_string())).ok_or("Enter a valid UUID."),
        Kind::Country if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Err("Enter a country code of two letters.")
        }
        Kind::Flag => Ok(matches!(text, "true" | "True" | "false" | "False").then(|| text.to_ascii_lowercase())),
        Kind::Switch => Ok(Some((text == "true").to_string())),
        Kind::Json => match serde_json::from_str::<Value>(text) {
            Err(_) => Err("filter: failed to parse JSON"),
            Ok(Value::Object(_)) => Ok(Some(text.to_owned())),
            Ok(_) => Err("filter: value must be key:value mapping"),
        },
        Kind::Text | Kind::Instant | Kind::Address | Kind::Network | Kind::Country | Kind::Choice(_) => Ok(Some(text.to_owned())),
    }
}

/// An empty object.
#[derive(Serialize)]
pub struct Empty {}

/// The number of a page and those of its neighbours.
#[derive(Serialize, ToSchema)]
pub struct Pagination {
    /// Number of the next page, 0 for none.
    next: i64,
    /// Number of the page before, 0 for none.
    previous: i64,
    /// How many rows match in all.
    count: i64,
    /// Number of this page, from 1.
    current: i64,
    /// How many pages there are, at least 1.
    total_pages: i64,
    /// Place of the page's first row, from 1; 0 when there is none.
    start_index: i64,
    /// Place of the page's last row; 0 when there is none.
    end_index: i64,
}

impl Pagination {
    /// The pagination of a page of a list.
    ///
    /// # Errors
    /// [`ApiError::InvalidPage`] when there is no page of that number.
    pub fn of<R>(found: &Found<R>) -> Result<Self, ApiError> {
        if !found.is_there() {
            return Err(ApiError::InvalidPage);
        }
        let (number, before) = (found.number, (found.number - 1) * found.size);
        let shown = i64::try_from(found.rows.len()).unwrap_or(found.size);
        Ok(Self {
            next: if number < found.pages { number + 1 } else { 0 },
            previous: number - 1,
            count: found.count,
            current: number,
            total_pages: found.pages,
            start_index: if shown == 0 { 0 } else { before + 1 },
            end_index: if shown == 0 { 0 } else { before + shown },
        })
    }
}

impl<F, K> ListRequest<F, K> {
    /// The page that is asked for, by a request that came at `asked`.
    ///
    /// # Errors
    /// 404 when it is no integer. Whether there is such a page, the list tells ([`Pagination::of`]).
    pub fn wanted(&self, asked: Instant) -> Result<Wanted, ApiError> {
        let wanted = match self.page.as_deref().unwrap_or_default() {
            "" => Wanted::page(1, self.page_size),
            "last" => Wanted::last(self.page_size),
            text => Wanted::page(django::int(text).and_then(Int::value).ok_or(ApiError::InvalidPage)?, self.page_size),
        };
        Ok(wanted.asked_at(asked))
    }
}

/// Notes each parameter that is not known.
pub fn refuse_unknown(query: &Query, is_known: impl Fn(&str) -> bool, errors: &mut FieldErrors) {
    for (name, _) in query.pairs().filter(|(name, _)| !is_known(name)) {
        errors.set(name, json!(["Unknown parameter."]));
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
        let page = |query: &str, pages: i64| {
            let page = Query::parse(query).last("page").map(str::to_owned);
            let request = ListRequest { filter: (), sorts: Vec::<Sort>::new(), page_size: 20, page };
            let found = request.wanted(Instant::now()).ok()?.found(pages * 20, vec![(); 20]);
            Pagination::of(&found).ok().map(|pagination| pagination.current)
        };
        assert_eq!(page("", 3), Some(1));
        assert_eq!(page("page=", 3), Some(1));
        assert_eq!(page("page=last", 3), Some(3));
        assert_eq!(page("page=%202%20", 3), Some(2));
        for bad in ["page=0", "page=-1", "page=4", "page=Last", "page=1.0", "page=99999999999999999999"] {
            assert_eq!(page(bad, 3), None, "{bad}");
        }
    }
}

//! The view as lines to copy: `curl`, and the `rollcall` command.

use std::borrow::Cow;

use crate::actions::app::App;
use crate::domain::filters::{About, FilterSet};
use crate::domain::listing::SessionFilter;
use crate::domain::query::Meaning;
use crate::http::client::ClientInfo;
use crate::ui::fleet::view::{View, address};

/// The API's names of the filters of sessions. Pages do not import the API: the routes pass the
/// names.
#[derive(Clone, Copy)]
pub struct ApiNames(pub fn(&About) -> Cow<'static, str>);

/// The lines of a view.
pub(in crate::ui) struct Offers {
    pub curl: String,
    pub command: String,
}

impl Offers {
    /// Both lines for a view; `filter` is what it shows. A part of the search that was not understood is left
    /// out, as on the page.
    pub fn new(app: &App, client: &ClientInfo, names: Option<ApiNames>, view: &View, filter: &SessionFilter) -> Self {
        let origin = app.config.http.public_url.as_ref().map_or_else(|| client.origin(), |url| url.origin().to_owned());
        let url = address(&format!("{origin}/api/v3/core/authenticated_sessions/"), &parameters(names, view, filter));
        let curl = format!("curl -H \"Authorization: Bearer $ROLLCALL_TOKEN\" {}", quoted(&url));
        Self { curl, command: command(view, filter) }
    }
}

/// The parameters of the API that ask for the same page.
fn parameters(names: Option<ApiNames>, view: &View, filter: &SessionFilter) -> Vec<(Cow<'static, str>, String)> {
    let mut all: Vec<(Cow<'static, str>, String)> = Vec::new();
    let terms: Vec<String> = view.query.terms().map(|term| quoted_term(&term)).collect();
    if !terms.is_empty() {
        all.push(("search".into(), terms.join(" ")));
    }
    for about in SessionFilter::all() {
        if let (Some(ApiNames(name_of)), Some(value)) = (names, filter.show(about.name)) {
            all.push((name_of(about), value));
        }
    }
    all.push(("ordering".into(), view.order.clone()));
    all.push(("page_size".into(), view.size.to_string()));
    all
}

/// The command takes the search as it was typed, except `-current`: it has no session of its own.
fn command(view: &View, filter: &SessionFilter) -> String {
    let understood = view.query.tokens.iter().filter(|token| !matches!(token.meaning, Err(_) | Ok(Meaning::NotCurrent)));
    let query: Vec<&str> = understood.map(|token| token.text.as_str()).collect();
    let mut parts = vec!["rollcall session list".to_owned()];
    if !query.is_empty() {
        parts.push(quoted(&query.join(" ")));
    }
    if let Some(id) = filter.except {
        parts.push(format!("--except {id}"));
    }
    parts.push(format!("--ordering={} --limit {}", view.order, view.size));
    parts.join(" ")
}

/// One search term of the API, quoted.
fn quoted_term(term: &str) -> String {
    let is_plain = !term.is_empty() && !term.contains(|c: char| c.is_whitespace() || matches!(c, ',' | '"' | '\'' | '\\'));
    if is_plain { term.to_owned() } else { format!("\"{}\"", term.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// One word of a shell, quoted.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:,@%+=".contains(&b));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_see_one_word() {
        assert_eq!(quoted("alice"), "alice");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a'b $(x)"), "'a'\\''b $(x)'");
    }
}

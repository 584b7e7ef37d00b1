//! Query strings: only `&` separates, and the last of two equal names counts.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The parameters of a query, in order, decoded.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Splits at `&` only; `+` is a space; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// These parameters, as if a query had held them.
    #[must_use]
    pub fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The last value of a parameter: given twice, the last one wins.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Names and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode(text: &str) -> String {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ampersands_separate_and_the_last_value_counts() {
        let query = Query::parse("a=1&&b=x+y%2B&a=2&c&d=%ff&e=1;f=2&%61b=3&g=%zz");
        assert_eq!(query.last("a"), Some("2"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.last("b"), Some("x y+"));
        assert_eq!(query.last("c"), Some(""));
        assert_eq!(query.last("d"), Some("\u{fffd}"));
        assert_eq!(query.last("e"), Some("1;f=2"));
        assert_eq!(query.last("f"), None);
        assert_eq!(query.last("ab"), Some("3"));
        assert_eq!(query.last("g"), Some("%zz"));
    }
}

//! What people type into the search box → filters: `user:alice country:DE idle:>30d -current`, and
//! plain words. A mistake is said in words and narrows nothing: what was understood still applies.

use std::fmt;
use std::time::Duration;

use crate::domain::address::{Address, Network};
use crate::domain::clock::Timestamp;
use crate::domain::country;
use crate::domain::listing::SessionFilter;
use crate::domain::search;
use crate::domain::user::UserId;

/// The most tokens that are looked at.
const MAX_TOKENS: usize = 40;
const DAY: Duration = Duration::from_secs(86_400);

/// What the box says, token by token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionQuery {
    /// In the order they were typed.
    pub tokens: Vec<Token>,
}

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it means; `Err`: what is wrong with it.
    pub meaning: Result<Meaning, String>,
    /// As it is written in the box.
    pub text: String,
}

/// What a token asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// Words to search for.
    Words(String),
    /// Of the user of that name.
    User(String),
    /// Of the user with that key.
    UserKey(i64),
    /// In a country, by its code.
    Country(String),
    /// In an autonomous system.
    Asn(i64),
    /// In a network.
    Network(Network),
    /// At an address.
    Address(Address),
    /// With a browser of this family, in any letter case.
    Browser(String),
    /// On a system of this family, in any letter case.
    System(String),
    /// On a device of this family, in any letter case.
    Device(String),
    /// With exactly this user agent.
    Agent(String),
    /// Not used for this long, or longer.
    IdleOver(Duration),
    /// Used within this time.
    IdleUnder(Duration),
    /// Ends within this time.
    EndsWithin(Duration),
    /// Does not end within this time.
    EndsAfter(Duration),
    /// Last used in this span of time, both ends included.
    Used(Option<Timestamp>, Option<Timestamp>),
    /// All but the session that asks.
    NotCurrent,
}

/// What can stand before a colon, with an example of what follows.
pub const KEYS: [(&str, &str, &str); 11] = [
    ("user", "alice", "whose"),
    ("country", "DE", "by code or name"),
    ("network", "3320", "by number, or 10.0.0.0/8"),
    ("ip", "192.0.2.7", "an address or a network"),
    ("browser", "firefox", "the browser"),
    ("os", "android", "the system"),
    ("device", "iphone", "the device"),
    ("idle", ">30d", "not used for so long; <1h: used within it"),
    ("ends", "<1h", "ends within it; >7d: does not"),
    ("used", "2026-11-01", "last used on that day; >DAY, <DAY, DAY..DAY"),
    ("agent", "\"curl/8.14.1\"", "the whole user agent"),
];

impl SessionQuery {
    /// Reads what the box says.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for text in split(text) {
            if query.tokens.len() == MAX_TOKENS {
                query.tokens.push(Token { text, meaning: Err(format!("More than {MAX_TOKENS} parts: the rest is left out.")) });
                break;
            }
            let mut meaning = read(&text);
            if let Ok(known) = &meaning
                && !matches!(known, Meaning::Words(_))
                && query.tokens.iter().any(|token| token.meaning.as_ref().is_ok_and(|other| is_same_field(other, known)))
            {
                meaning = Err(format!("“{text}” comes second: a session has only one of these, and the first one counts."));
            }
            query.tokens.push(Token { meaning, text });
        }
        query
    }

    /// What is wrong, each in a sentence.
    pub fn mistakes(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().filter_map(|token| token.meaning.as_ref().err()).map(String::as_str)
    }

    /// The same without one token.
    #[must_use]
    pub fn without(&self, at: usize) -> String {
        let rest = self.tokens.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, token)| token.text.as_str());
        rest.collect::<Vec<_>>().join(" ")
    }

    /// The same with one more token, which takes the place of those of its field.
    #[must_use]
    pub fn with(&self, text: &str) -> String {
        let new = read(text).ok();
        let is_kept = |token: &&Token| match (&token.meaning, &new) {
            (Ok(old), Some(new)) => matches!(new, Meaning::Words(_)) || !is_same_field(old, new),
            _ => true,
        };
        let kept = self.tokens.iter().filter(is_kept).map(|token| token.text.as_str());
        kept.chain([text]).collect::<Vec<_>>().join(" ")
    }

    /// Whether it asks for all but the session that asks.
    #[must_use]
    pub fn spares_current(&self) -> bool {
        self.tokens.iter().any(|token| token.meaning == Ok(Meaning::NotCurrent))
    }

    /// The filter it stands for at `now`. Families are as typed: whoever knows the right letter case
    /// puts it in.
    #[must_use]
    pub fn filter(&self, now: Timestamp) -> SessionFilter {
        let mut filter = SessionFilter::default();
        let mut words: Vec<&str> = Vec::new();
        for meaning in self.tokens.iter().filter_map(|token| token.meaning.as_ref().ok()) {
            match meaning {
                Meaning::Words(text) => words.push(text),
                Meaning::User(name) => filter.username = Some(name.clone()),
                Meaning::UserKey(key) => filter.user = Some(UserId(*key)),
                Meaning::Country(code) => filter.country = Some(code.clone()),
                Meaning::Asn(number) => filter.asn = Some(*number),
                Meaning::Network(network) => filter.network = Some(*network),
                Meaning::Address(address) => filter.last_ip = Some(*address),
                Meaning::Browser(family) => filter.browser = Some(family.clone()),
                Meaning::System(family) => filter.os = Some(family.clone()),
                Meaning::Device(family) => filter.device = Some(family.clone()),
                Meaning::Agent(text) => filter.user_agent = Some(text.clone()),
                Meaning::IdleOver(time) => filter.last_used_lte = Some(earlier(filter.last_used_lte, now.minus(*time))),
                Meaning::IdleUnder(time) => filter.last_used_gte = Some(later(filter.last_used_gte, now.minus(*time))),
                Meaning::EndsWithin(time) => filter.expires_lte = Some(now.plus(*time)),
                Meaning::EndsAfter(time) => filter.expires_gte = Some(now.plus(*time)),
                Meaning::Used(from, to) => {
                    filter.last_used_gte = from.map(|from| later(filter.last_used_gte, from)).or(filter.last_used_gte);
                    filter.last_used_lte = to.map(|to| earlier(filter.last_used_lte, to)).or(filter.last_used_lte);
                }
                Meaning::NotCurrent => {}
            }
        }
        filter.search = search::folded_terms(&words.join(" ")).unwrap_or_default();
        filter
    }

    /// The words alone, as the API's `search` takes them.
    #[must_use]
    pub fn words(&self) -> String {
        let words = self.tokens.iter().filter_map(|token| match &token.meaning {
            Ok(Meaning::Words(text)) => Some(text.as_str()),
            _ => None,
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for SessionQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.tokens.iter().map(|token| token.text.as_str()).collect();
        f.write_str(&texts.join(" "))
    }
}

/// A token of a field and a value, quoted where it must be.
#[must_use]
pub fn token(key: &str, value: &str) -> String {
    let is_plain = !value.is_empty() && !value.chars().any(|c| c.is_whitespace() || c == '"');
    if is_plain { format!("{key}:{value}") } else { format!("{key}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")) }
}

fn earlier(known: Option<Timestamp>, new: Timestamp) -> Timestamp {
    known.map_or(new, |known| known.min(new))
}

fn later(known: Option<Timestamp>, new: Timestamp) -> Timestamp {
    known.map_or(new, |known| known.max(new))
}

/// Whether two tokens say something about the same field, so that only one can apply.
fn is_same_field(a: &Meaning, b: &Meaning) -> bool {
    let is_place = |it: &Meaning| matches!(it, Meaning::Network(_) | Meaning::Address(_));
    std::mem::discriminant(a) == std::mem::discriminant(b) || (is_place(a) && is_place(b))
}

/// Splits at white space; what is between double quotes stays together, with `\"` and `\\` for
/// these two.
fn split(text: &str) -> Vec<String> {
    let (mut tokens, mut token, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().filter(|c| !c.is_control() || c.is_whitespace());
    while let Some(c) = characters.next() {
        match c {
            '\\' if is_quoted => {
                token.push(c);
                token.extend(characters.next());
            }
            '"' => {
                is_quoted = !is_quoted;
                token.push(c);
            }
            c if c.is_whitespace() && !is_quoted => {
                if !token.is_empty() {
                    tokens.push(std::mem::take(&mut token));
                }
            }
            c => token.push(c),
        }
    }
    if is_quoted {
        token.push('"');
    }
    if !token.is_empty() {
        tokens.push(token);
    }
    tokens
}

/// The inside of a value's quotes.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.extend(characters.next()),
            '"' => {}
            c => out.push(c),
        }
    }
    out
}

fn read(text: &str) -> Result<Meaning, String> {
    if let Some(rest) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) {
        return match rest {
            "current" => Ok(Meaning::NotCurrent),
            _ => Err(format!("“{text}”: only “-current” can be left out so. To search for the words, put them in quotes.")),
        };
    }
    let Some((key, value)) = text.split_once(':').filter(|(key, _)| is_key(key) && Address::parse(text).is_none()) else {
        return Ok(Meaning::Words(text.to_owned()));
    };
    let value = if value.contains('"') { unquoted(value) } else { value.to_owned() };
    if value.is_empty() {
        return Err(format!("“{key}:” says nothing. {}", example(key)));
    }
    field(&key.to_ascii_lowercase(), &value).ok_or_else(|| {
        if KEYS.iter().any(|(known, ..)| known.eq_ignore_ascii_case(key)) {
            format!("“{value}” is nothing that “{key}:” can be. {}", example(key))
        } else {
            let known: Vec<&str> = KEYS.iter().map(|(key, ..)| *key).collect();
            format!("There is no “{key}:”. There is {}. To search for the words, put them in quotes.", known.join(", "))
        }
    })
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

fn example(key: &str) -> String {
    let known = KEYS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(key));
    known.map_or(String::new(), |(key, example, about)| format!("Such as {key}:{example} ({about})."))
}

fn field(key: &str, value: &str) -> Option<Meaning> {
    Some(match key {
        "user" => Meaning::User(value.to_owned()),
        "userkey" => Meaning::UserKey(value.parse().ok()?),
        "country" => Meaning::Country(country::code(value).map(str::to_owned).or_else(|| code(value))?),
        "network" | "asn" => match number(value) {
            Some(number) => Meaning::Asn(number),
            None => Meaning::Network(Network::parse(value)?),
        },
        "ip" => match Address::parse(value) {
            Some(address) => Meaning::Address(address),
            None => Meaning::Network(Network::parse(value)?),
        },
        "browser" => Meaning::Browser(value.to_owned()),
        "os" => Meaning::System(value.to_owned()),
        "device" => Meaning::Device(value.to_owned()),
        "agent" => Meaning::Agent(value.to_owned()),
        "idle" => match value.strip_prefix('<') {
            Some(time) => Meaning::IdleUnder(duration(time)?),
            None => Meaning::IdleOver(duration(value.strip_prefix('>').unwrap_or(value))?),
        },
        "ends" => match value.strip_prefix('>') {
            Some(time) => Meaning::EndsAfter(duration(time)?),
            None => Meaning::EndsWithin(duration(value.strip_prefix('<').unwrap_or(value))?),
        },
        "used" => used(value)?,
        _ => return None,
    })
}

/// Two letters, though no list knows them.
fn code(value: &str) -> Option<String> {
    let is_code = value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| value.to_ascii_uppercase())
}

/// `3320` or `AS3320`.
fn number(value: &str) -> Option<i64> {
    let digits = value.strip_prefix("AS").or_else(|| value.strip_prefix("as")).unwrap_or(value);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// `90s`, `15m`, `2h`, `30d`, `2w`.
fn duration(value: &str) -> Option<Duration> {
    let unit = value.chars().next_back()?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let count: u64 = value.get(..value.len() - 1)?.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds).filter(|seconds| *seconds < 1 << 40)?))
}

fn used(value: &str) -> Option<Meaning> {
    let end = |day: Timestamp| day.plus(DAY).minus(Duration::from_micros(1));
    if let Some(day) = value.strip_prefix('>') {
        return Some(Meaning::Used(Some(end(self::day(day)?).plus(Duration::from_micros(1))), None));
    }
    if let Some(day) = value.strip_prefix('<') {
        return Some(Meaning::Used(None, Some(self::day(day)?.minus(Duration::from_micros(1)))));
    }
    let (from, to) = value.split_once("..").unwrap_or((value, value));
    Some(Meaning::Used(Some(day(from)?), Some(end(day(to)?))))
}

/// Midnight of a day, in UTC.
fn day(text: &str) -> Option<Timestamp> {
    if text.len() == 10 { Timestamp::parse(text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn the_whole_language() {
        let now = at("2026-11-01T12:00:00Z");
        let query = SessionQuery::parse(
            "user:alice country:germany network:AS3320 browser:firefox os:\"Mac OS X\" ip:10.0.0.0/8 idle:>30d -current le wis",
        );
        assert_eq!(query.mistakes().count(), 0);
        let want = SessionFilter {
            username: Some("alice".into()),
            country: Some("DE".into()),
            asn: Some(3320),
            network: Network::parse("10.0.0.0/8"),
            browser: Some("firefox".into()),
            os: Some("Mac OS X".into()),
            last_used_lte: Some(at("2026-10-02T12:00:00Z")),
            search: vec!["WIS".into(), "LE".into()],
            ..SessionFilter::default()
        };
        assert_eq!(query.filter(now), want);
        assert!(query.spares_current());
        assert_eq!(query.words(), "le wis");
    }

    #[test]
    fn addresses_are_words_and_fields() {
        for word in ["2001:db8::1", "dead:beef::1", "10.0", "::1"] {
            assert_eq!(read(word), Ok(Meaning::Words(word.into())), "{word}");
        }
        assert_eq!(read("ip:2001:db8::1"), Ok(Meaning::Address(Address::parse("2001:db8::1").unwrap())));
        assert_eq!(read("\"user:alice\""), Ok(Meaning::Words("\"user:alice\"".into())));
    }

    #[test]
    fn times() {
        let now = at("2026-11-10T12:00:00Z");
        let filter = |text: &str| {
            let query = SessionQuery::parse(text);
            assert_eq!(query.mistakes().count(), 0, "{text}");
            query.filter(now)
        };
        assert_eq!(filter("idle:<2h").last_used_gte, Some(at("2026-11-10T10:00:00Z")));
        assert_eq!(filter("idle:15m").last_used_lte, Some(at("2026-11-10T11:45:00Z")));
        assert_eq!(filter("ends:<1d").expires_lte, Some(at("2026-11-11T12:00:00Z")));
        assert_eq!(filter("ends:>1w").expires_gte, Some(at("2026-11-17T12:00:00Z")));
        let day = filter("used:2026-11-05");
        assert_eq!((day.last_used_gte, day.last_used_lte), (Some(at("2026-11-05")), Some(at("2026-11-05T23:59:59.999999Z"))));
        let span = filter("used:2026-11-01..2026-11-03");
        assert_eq!((span.last_used_gte, span.last_used_lte), (Some(at("2026-11-01")), Some(at("2026-11-03T23:59:59.999999Z"))));
        assert_eq!(filter("used:>2026-11-01").last_used_gte, Some(at("2026-11-02")));
        assert_eq!(filter("used:<2026-11-01").last_used_lte, Some(at("2026-10-31T23:59:59.999999Z")));
        // Both apply: the narrower end.
        assert_eq!(filter("used:<2026-11-01 idle:>1h").last_used_lte, Some(at("2026-10-31T23:59:59.999999Z")));
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        for (text, says) in [
            ("colour:red", "There is no “colour:”. There is user, country"),
            ("country:Atlantis", "“Atlantis” is nothing that “country:” can be. Such as country:DE"),
            ("idle:soon", "Such as idle:>30d"),
            ("idle:>99999999999999999999d", "Such as idle"),
            ("ip:1.2.3", "Such as ip:192.0.2.7"),
            ("used:yesterday", "Such as used:2026-11-01"),
            ("user:", "“user:” says nothing. Such as user:alice"),
            ("-mobile", "only “-current”"),
            ("user:a user:b", "“user:b” comes second"),
            ("ip:1.2.3.4 network:10.0.0.0/8", "comes second"),
        ] {
            let query = SessionQuery::parse(text);
            let mistakes: Vec<&str> = query.mistakes().collect();
            assert!(mistakes.len() == 1 && mistakes[0].contains(says), "{text}: {mistakes:?}");
        }
        assert_eq!(SessionQuery::parse("colour:red user:a").filter(Timestamp(0)).username.as_deref(), Some("a"));
        assert!(SessionQuery::parse(&"a ".repeat(50)).mistakes().next().unwrap().contains("More than 40"));
    }

    #[test]
    fn tokens_come_and_go() {
        let query = SessionQuery::parse("  user:\"a b\"   fire country:DE \"open");
        assert_eq!(query.to_string(), "user:\"a b\" fire country:DE \"open\"");
        assert_eq!(query.without(0), "fire country:DE \"open\"");
        assert_eq!(query.with("country:FR"), "user:\"a b\" fire \"open\" country:FR");
        assert_eq!(SessionQuery::parse("x").with("y"), "x y");
        for name in ["plain", "two words", "say \"hi\"", "back\\slash quote\"", ""] {
            let query = SessionQuery::parse(&token("user", name));
            if !name.is_empty() {
                assert_eq!(query.filter(Timestamp(0)).username.as_deref(), Some(name), "{query}");
            }
        }
    }
}

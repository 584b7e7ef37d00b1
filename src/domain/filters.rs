//! The filters of lists, one table for each resource.
//!
//! A row says what a filter is called, which values it takes and what it is for. The API's parameters
//! and their description, the command line's flags, the words of the search language
//! ([`crate::domain::query`]) and the lines that the page of all sessions offers to copy are made from
//! these rows. So a filter of sessions is added here, in [`SessionFilter`] and in the store. The tables of users
//! and groups are in [`crate::domain::people_lists`].

use crate::domain::address::{Address, Network};
use crate::domain::clock::Timestamp;
use crate::domain::country;
use crate::domain::factor::Method;
use crate::domain::listing::{EndedFilter, SessionFilter};
use crate::domain::names;
use crate::domain::session::{EndReason, SessionId};
use crate::domain::source::Origin;
use crate::domain::user::UserId;

/// Which values a filter takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text. It is compared exactly.
    Text,
    /// A whole number, 64 bits with a sign.
    Whole,
    /// ISO 8601: a date, or a date and time.
    Instant,
    /// A session's id.
    Uuid,
    /// An IPv4 or IPv6 address in any notation.
    Address,
    /// A network in CIDR notation.
    Network,
    /// A country's code of two letters, or its English name.
    Country,
    /// One of these words.
    Choice(fn() -> Vec<&'static str>),
    /// Yes or no.
    Flag,
    /// Yes or no, for a part of the answer that can be left out. The API takes anything but `true` as no.
    Switch,
    /// A JSON object.
    Json,
}

impl Kind {
    /// The placeholder of a value in help texts, such as `NUMBER`.
    #[must_use]
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Whole => "NUMBER",
            Self::Instant => "INSTANT",
            Self::Uuid => "UUID",
            Self::Address => "ADDRESS",
            Self::Network => "CIDR",
            Self::Country => "COUNTRY",
            Self::Choice(_) => "WORD",
            Self::Flag | Self::Switch => "true|false",
            Self::Json => "JSON",
        }
    }
}

/// A word of the search language: what is written before a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word, such as `country`.
    pub key: &'static str,
    /// A value that can follow the colon.
    pub example: &'static str,
    /// What it says about a session, for help texts.
    pub about: &'static str,
}

/// What API, pages and command line need to know of a filter.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name, in lower case with `_`. The command line's flag is the same with `-`.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// What it is for: a sentence without its full stop.
    pub help: &'static str,
    /// The words of the search language that set it. A word that sets several filters sets the first one
    /// that takes the value.
    pub words: &'static [Word],
    /// Whether it may have several values, any of which matches.
    pub is_repeated: bool,
}

/// A filter of a resource whose filters together are an `F`.
pub struct Filter<F: 'static> {
    /// What API, pages and command line need to know of it.
    pub about: About,
    /// Reads a value into the filters; `Err` says in a sentence which values there are.
    pub(in crate::domain) set: fn(&mut F, &str) -> Result<(), &'static str>,
    /// The value as a text that `set` reads; `None` when the filter is not set.
    pub(in crate::domain) show: fn(&F) -> Option<String>,
}

/// The filters of a resource, set and read by name.
pub trait FilterSet: Clone + Default + PartialEq + Send + Sync + 'static {
    /// All filters that can be set by name.
    fn all() -> impl Iterator<Item = &'static About> + Send;

    /// Reads a value into the filter of that name.
    ///
    /// # Errors
    /// A sentence that says which values there are; also for a name that no filter has.
    fn set(&mut self, name: &str, text: &str) -> Result<(), &'static str>;

    /// The value of the filter of that name, as a text that [`FilterSet::set`] reads; `None` when it is not
    /// set.
    fn show(&self, name: &str) -> Option<String>;

    /// Where the terms of the search are ([`crate::domain::search::folded_terms`]).
    fn search(&mut self) -> &mut Vec<String>;
}

/// A row whose field is an `Option`: how a text becomes a value, and the value a text.
macro_rules! filter {
    ($name:expr, $field:ident, $kind:expr, $read:expr, $show:expr, $help:literal, $words:expr) => {
        Filter {
            about: About { name: $name, kind: $kind, help: $help, words: $words, is_repeated: false },
            set: |filters, text| {
                filters.$field = Some($read(text)?);
                Ok(())
            },
            show: |filters| filters.$field.as_ref().map($show),
        }
    };
}
pub(in crate::domain) use filter;

/// A row whose field is a `Vec`, to which each value is added. The value shown is the last one.
macro_rules! repeated_filter {
    ($name:literal, $field:ident, $kind:expr, $read:expr, $show:expr, $help:literal) => {
        Filter {
            about: About { name: $name, kind: $kind, help: $help, words: &[], is_repeated: true },
            set: |filters, text| {
                filters.$field.push($read(text)?);
                Ok(())
            },
            show: |filters| filters.$field.last().map($show),
        }
    };
}
pub(in crate::domain) use repeated_filter;

/// The filter that lets a search look at people, too. The search language always does.
pub const SEARCH_PEOPLE: &str = "search_people";

const NETWORK: Word = Word { key: "network", example: "3320", about: "by number, or 10.0.0.0/8" };
const IP: Word = Word { key: "ip", example: "192.0.2.7", about: "an address or a network" };

/// The filters of sessions.
#[rustfmt::skip]
pub static SESSIONS: &[Filter<SessionFilter>] = &[
    filter!("user", username, Kind::Text, text, String::clone,
        "The username, exactly; of an ended session the name its user had",
        &[Word { key: "user", example: "alice", about: "whose" }]),
    filter!("country", country, Kind::Country, country, String::clone,
        "Country of the last address",
        &[Word { key: "country", example: "DE", about: "by code or name" }]),
    filter!("asn", asn, Kind::Whole, autonomous_system, i64::to_string,
        "Autonomous system number of the last address",
        &[NETWORK]),
    filter!("last_ip", last_ip, Kind::Address, address, Address::to_string,
        "The last address, in any notation",
        &[IP]),
    filter!("network", network, Kind::Network, network, Network::to_string,
        "Network of the last address, in CIDR notation",
        &[NETWORK, IP]),
    filter!("browser", browser, Kind::Text, verbatim, String::clone,
        "Browser family, such as Firefox",
        &[Word { key: "browser", example: "firefox", about: "the browser" }]),
    filter!("os", os, Kind::Text, verbatim, String::clone,
        "System family, such as Windows",
        &[Word { key: "os", example: "android", about: "the system" }]),
    filter!("device", device, Kind::Text, verbatim, String::clone,
        "Device family, such as iPhone",
        &[Word { key: "device", example: "iphone", about: "the device" }]),
    filter!("methods", methods, Kind::Choice(|| Method::ALL.map(Method::as_str).to_vec()), method, |method: &Method| method.as_str().to_owned(),
        "A method that it was signed in with, in the words of RFC 8176",
        &[Word { key: "method", example: "otp", about: "how it was signed in: pwd, otp, hwk, swk, user, mfa" }]),
    filter!("last_user_agent", user_agent, Kind::Text, verbatim, String::clone,
        "The last user agent, exactly",
        &[Word { key: "agent", example: "\"curl/8.14.1\"", about: "the whole user agent" }]),
    filter!("user_pk", user, Kind::Whole, |text| whole(text).map(UserId), |user: &UserId| user.0.to_string(),
        "The user's primary key",
        &[Word { key: "userkey", example: "7", about: "whose, by primary key" }]),
    filter!("last_used_gte", last_used_gte, Kind::Instant, instant, Timestamp::to_string,
        "Last used at this instant or later", &[]),
    filter!("last_used_lte", last_used_lte, Kind::Instant, instant, Timestamp::to_string,
        "Last used at this instant or earlier", &[]),
    filter!("created_lte", created_lte, Kind::Instant, instant, Timestamp::to_string,
        "Signed in at this instant or earlier", &[]),
    filter!("expires_gte", expires_gte, Kind::Instant, instant, Timestamp::to_string,
        "Expires, or would have expired, at this instant or later", &[]),
    filter!("expires_lte", expires_lte, Kind::Instant, instant, Timestamp::to_string,
        "Expires, or would have expired, at this instant or earlier", &[]),
    filter!(SEARCH_PEOPLE, search_people, Kind::Flag, flag, bool::to_string,
        "Whether each term of the search may also be part of the e-mail address or the full name that the user has now; of ended sessions it always may", &[]),
    filter!("except", except, Kind::Uuid, session, SessionId::to_string,
        "All but the session of this uuid", &[]),
    filter!("source", source, Kind::Choice(|| Origin::ALL.map(Origin::as_str).to_vec()), origin, |origin: &Origin| origin.as_str().to_owned(),
        "Where they live: in Rollcall, at the watched authentik as they were last copied, or both",
        &[Word { key: "source", example: "authentik", about: "where it lives: rollcall, authentik (a copy of what is watched) or all" }]),
];

/// The filters that only ended sessions have.
#[rustfmt::skip]
pub static ENDED: &[Filter<EndedFilter>] = &[
    filter!("ended_gte", ended_gte, Kind::Instant, instant, Timestamp::to_string,
        "Ended at this instant or later", &[]),
    filter!("ended_lte", ended_lte, Kind::Instant, instant, Timestamp::to_string,
        "Ended at this instant or earlier", &[]),
    filter!("ended_by", ended_by, Kind::Text, text, String::clone,
        "Who ended it, exactly",
        &[Word { key: "by", example: "system", about: "ended by: a username, cli or system" }]),
    filter!("reason", reason, Kind::Choice(|| EndReason::ALL.map(EndReason::as_str).to_vec()), reason, |reason: &EndReason| reason.as_str().to_owned(),
        "Why it ended",
        &[Word { key: "reason", example: "revoked", about: "ended for it: signed_out, revoked, expired and others" }]),
];

impl FilterSet for SessionFilter {
    fn all() -> impl Iterator<Item = &'static About> + Send {
        SESSIONS.iter().map(|filter| &filter.about)
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), &'static str> {
        (find(SESSIONS, name).ok_or(NO_SUCH_FILTER)?.set)(self, text)
    }

    fn show(&self, name: &str) -> Option<String> {
        (find(SESSIONS, name)?.show)(self)
    }

    fn search(&mut self) -> &mut Vec<String> {
        &mut self.search
    }
}

impl FilterSet for EndedFilter {
    fn all() -> impl Iterator<Item = &'static About> + Send {
        SessionFilter::all().chain(ENDED.iter().map(|filter| &filter.about))
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), &'static str> {
        match find(ENDED, name) {
            Some(filter) => (filter.set)(self, text),
            None => self.session.set(name, text),
        }
    }

    fn show(&self, name: &str) -> Option<String> {
        find(ENDED, name).map_or_else(|| self.session.show(name), |filter| (filter.show)(self))
    }

    fn search(&mut self) -> &mut Vec<String> {
        &mut self.session.search
    }
}

pub(in crate::domain) const NO_SUCH_FILTER: &str = "There is no such filter.";

pub(in crate::domain) fn find<F>(table: &'static [Filter<F>], name: &str) -> Option<&'static Filter<F>> {
    table.iter().find(|filter| filter.about.name == name)
}

/// A name, or a part of one, in the form in which names are stored.
#[expect(clippy::unnecessary_wraps, reason = "every reader of the table has this shape")]
pub(in crate::domain) fn text(text: &str) -> Result<String, &'static str> {
    Ok(names::composed(text))
}

/// A text that is stored as it came.
#[expect(clippy::unnecessary_wraps, reason = "every reader of the table has this shape")]
fn verbatim(text: &str) -> Result<String, &'static str> {
    Ok(text.to_owned())
}

pub(in crate::domain) fn whole(text: &str) -> Result<i64, &'static str> {
    text.trim().parse().map_err(|_| "Enter a whole number.")
}

/// `3320`, or `AS3320` as people write it.
fn autonomous_system(text: &str) -> Result<i64, &'static str> {
    let digits = text.split_at_checked(2).filter(|(letters, _)| letters.eq_ignore_ascii_case("as"));
    whole(digits.map_or(text, |(_, digits)| digits))
}

fn address(text: &str) -> Result<Address, &'static str> {
    Address::parse(text).ok_or("Enter a valid IPv4 or IPv6 address.")
}

fn network(text: &str) -> Result<Network, &'static str> {
    Network::parse(text).ok_or("Enter a valid network, such as 10.0.0.0/8.")
}

/// The code, given by code or by name. Two letters are a code, though no list knows them.
fn country(text: &str) -> Result<String, &'static str> {
    let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let code = country::code(text).map(str::to_owned).or_else(|| is_code.then(|| text.to_ascii_uppercase()));
    code.ok_or("Enter a country's code of two letters, or its English name.")
}

fn method(text: &str) -> Result<Method, &'static str> {
    let method = Method::ALL.into_iter().find(|method| method.as_str() == text);
    method.ok_or("Enter a method: pwd, otp, hwk, swk, user or mfa.")
}

pub(in crate::domain) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).ok_or("Enter a valid date/time.")
}

/// `true` or `false`, in any letter case, or `yes` or `no`.
pub(in crate::domain) fn flag(text: &str) -> Result<bool, &'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => Err("Enter true or false."),
    }
}

pub(in crate::domain) fn uuid(text: &str) -> Result<uuid::Uuid, &'static str> {
    SessionId::parse(text).map(|id| id.0).ok_or("Enter a valid UUID.")
}

fn session(text: &str) -> Result<SessionId, &'static str> {
    SessionId::parse(text).ok_or("Enter a valid UUID.")
}

fn origin(text: &str) -> Result<Origin, &'static str> {
    Origin::parse(text).ok_or("Enter rollcall, authentik or all.")
}

fn reason(text: &str) -> Result<EndReason, &'static str> {
    EndReason::parse(text).ok_or("There is no such reason.")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A value of each kind that is read.
    fn sample(about: &About) -> String {
        match about.kind {
            Kind::Text => "a b".into(),
            Kind::Whole => "-7".into(),
            Kind::Instant => "2026-11-01T12:00:00Z".into(),
            Kind::Uuid => "50499c33-bd55-4ced-8916-e466275b4b73".into(),
            Kind::Address => "2001:db8::7".into(),
            Kind::Network => "10.0.0.0/8".into(),
            Kind::Country => "DE".into(),
            Kind::Choice(words) => words()[0].into(),
            Kind::Flag | Kind::Switch => "true".into(),
            Kind::Json => r#"{"a":1}"#.into(),
        }
    }

    fn check<F: FilterSet + std::fmt::Debug>() {
        let (mut names, mut all) = (HashSet::new(), F::default());
        for about in F::all() {
            assert!(names.insert(about.name), "{} is there twice", about.name);
            assert!(!about.help.is_empty() && !about.help.ends_with('.'), "{}", about.help);
            let value = sample(about);
            let mut one = F::default();
            assert_eq!(one.show(about.name), None);
            one.set(about.name, &value).unwrap();
            assert_eq!(one.show(about.name), Some(value.clone()), "{}", about.name);
            let set: Vec<&str> = F::all().map(|other| other.name).filter(|other| one.show(other).is_some()).collect();
            assert_eq!(set, [about.name], "one filter sets one field");
            all.set(about.name, &value).unwrap();
            if !matches!(about.kind, Kind::Text) {
                let before = one.clone();
                assert!(one.set(about.name, "?").unwrap_err().ends_with('.'));
                assert_eq!(one, before, "a wrong value changes nothing");
            }
        }
        assert!(all.set("no_such", "1").is_err() && all.show("no_such").is_none());
    }

    #[test]
    fn each_row_reads_what_it_shows_and_sets_one_field() {
        check::<SessionFilter>();
        check::<EndedFilter>();
        check::<crate::domain::people_lists::UserFilter>();
        check::<crate::domain::people_lists::GroupFilter>();
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        let shown = |name: &str, text: &str| {
            let mut filters = SessionFilter::default();
            filters.set(name, text).map(|()| filters.show(name).unwrap())
        };
        assert_eq!(shown("country", "germany"), Ok("DE".into()));
        assert_eq!(shown("country", "zz"), Ok("ZZ".into()));
        assert!(shown("country", "Atlantis").is_err());
        assert_eq!(shown("asn", "as3320"), Ok("3320".into()));
        assert!(shown("asn", "AS").is_err() && shown("asn", "ßs1").is_err());
        assert_eq!(shown("last_ip", "::FFFF:10.1.2.3"), Ok("::ffff:10.1.2.3".into()));
    }

    #[test]
    fn a_word_has_one_meaning_in_all_rows() {
        for about in EndedFilter::all() {
            for word in about.words {
                for other in EndedFilter::all().flat_map(|about| about.words).filter(|other| other.key == word.key) {
                    assert_eq!(word, other);
                }
            }
        }
    }
}

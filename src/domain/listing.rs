//! What a list of sessions is asked for: filters, order, page.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::address::{Address, Network};
use crate::domain::clock::Timestamp;
use crate::domain::event::FilterTerms;
use crate::domain::factor::{Method, Methods};
use crate::domain::session::SessionId;
use crate::domain::source::{Origin, SourceId};
use crate::domain::user::UserId;

/// Which sessions. All given filters apply together; without any, all sessions match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionFilter {
    /// Only this user's: the limit of what the caller may see. Nothing else in the filter can widen
    /// it.
    pub visible_to: Option<UserId>,
    /// The username, exactly.
    pub username: Option<String>,
    /// The user's primary key.
    pub user: Option<UserId>,
    /// The last address, in any notation.
    pub last_ip: Option<Address>,
    /// The last user agent, exactly.
    pub user_agent: Option<String>,
    /// The network the last address lies in.
    pub network: Option<Network>,
    /// ISO country code of the last address, upper case.
    pub country: Option<String>,
    /// Autonomous system number of the last address.
    pub asn: Option<i64>,
    /// Browser family, exactly.
    pub browser: Option<String>,
    /// System family, exactly.
    pub os: Option<String>,
    /// Device family, exactly.
    pub device: Option<String>,
    /// A method that it was signed in with, among others.
    pub methods: Option<Method>,
    /// Last used at this instant or later.
    pub last_used_gte: Option<Timestamp>,
    /// Last used at this instant or earlier.
    pub last_used_lte: Option<Timestamp>,
    /// Signed in at this instant or earlier.
    pub created_lte: Option<Timestamp>,
    /// Expires at this instant or later.
    pub expires_gte: Option<Timestamp>,
    /// Expires at this instant or earlier.
    pub expires_lte: Option<Timestamp>,
    /// Folded terms ([`crate::domain::search::folded_terms`]), each of which must be part of the username,
    /// the address or the user agent, or of more ([`SessionFilter::finds_people`]).
    pub search: Vec<String>,
    /// Whether each term may also be part of the e-mail address or the full name that the user has today. An older process
    /// that goes on with an end does not know it, and finds no more than that.
    pub search_people: Option<bool>,
    /// All except this one.
    pub except: Option<SessionId>,
    /// Where they live; `None`: in Rollcall. Of ended sessions `None` is both.
    pub source: Option<Origin>,
}

/// Which ended sessions. All given filters apply together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndedFilter {
    /// What they were when they ended.
    pub session: SessionFilter,
    /// Ended at this instant or later.
    pub ended_gte: Option<Timestamp>,
    /// Ended at this instant or earlier.
    pub ended_lte: Option<Timestamp>,
    /// Why ([`crate::domain::EndReason`]).
    pub reason: Option<crate::domain::EndReason>,
    /// Who ended them: a username, `system`, `cli`.
    pub ended_by: Option<String>,
}

impl SessionFilter {
    /// Whether anything narrows it: where the sessions live, the one that is left out, and where a search looks, do not.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        Self { except: None, source: None, search_people: None, ..self.clone() } != Self::default()
    }

    /// Whether its search also looks at the e-mail addresses and full names of users.
    #[must_use]
    pub fn finds_people(&self) -> bool {
        self.search_people == Some(true) && !self.search.is_empty()
    }

    /// Whether only sessions of Rollcall can match.
    #[must_use]
    pub fn is_of_rollcall(&self) -> bool {
        matches!(self.source, None | Some(Origin::Rollcall))
    }

    /// The given filters by field, as text: for events.
    #[must_use]
    pub fn terms(&self) -> FilterTerms {
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return FilterTerms::new() };
        let term = |(name, value): (String, Value)| match value {
            Value::Null => None,
            Value::String(text) => Some((name, text)),
            Value::Array(parts) if parts.is_empty() => None,
            Value::Array(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| part.as_str().map_or(part.to_string(), str::to_owned)).collect();
                Some((name, parts.join(" ")))
            }
            other => Some((name, other.to_string())),
        };
        fields.into_iter().filter_map(term).collect()
    }
}

/// The yes-or-no properties of a session that filters and rows need, in one byte: the index in
/// memory holds one for each session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts(u8);

impl Facts {
    /// The bit of "stay signed in". Those below it are of the methods.
    const REMEMBERED: u8 = 1 << 7;

    /// The facts of a session that was proved by these methods, and whether its user asked to stay
    /// signed in.
    #[must_use]
    pub fn new(is_remembered: bool, methods: Methods) -> Self {
        let remembered = if is_remembered { Self::REMEMBERED } else { 0 };
        Self(Method::ALL.iter().filter(|method| methods.has(**method)).fold(remembered, |bits, method| bits | 1 << (*method as u8)))
    }

    /// Whether it was signed in with this method, among others.
    #[must_use]
    pub fn has_method(self, method: Method) -> bool {
        self.0 & 1 << (method as u8) != 0
    }

    /// Whether its user asked to stay signed in.
    #[must_use]
    pub fn is_remembered(self) -> bool {
        self.0 & Self::REMEMBERED != 0
    }
}

/// What a list can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// The session's id.
    Uuid,
    /// The user's primary key.
    User,
    /// The user's name, by code point.
    Username,
    /// The address: IPv4 before IPv6, then by number.
    LastIp,
    /// The user agent, by code point.
    UserAgent,
    /// When it was last used.
    LastUsed,
    /// When it expires.
    Expires,
    /// When its user signed in.
    Created,
    /// The country's code.
    Country,
}

/// What a list of ended sessions can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedSortKey {
    /// When it ended.
    Ended,
    /// What live sessions can be ordered by, too.
    Session(SortKey),
}

/// One term of an order. Equal rows are ordered by id, ascending, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort<K = SortKey> {
    /// By what.
    pub key: K,
    /// Largest first.
    pub is_descending: bool,
}

impl SortKey {
    /// Their names, as the command line, the pages and the API's short forms write them.
    pub const NAMES: [(&str, Self); 9] = [
        ("uuid", Self::Uuid),
        ("user", Self::User),
        ("username", Self::Username),
        ("last_ip", Self::LastIp),
        ("last_user_agent", Self::UserAgent),
        ("last_used", Self::LastUsed),
        ("expires", Self::Expires),
        ("created", Self::Created),
        ("country", Self::Country),
    ];

    /// The key of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, key)| key)
    }
}

impl EndedSortKey {
    /// The key of that name: `ended`, or one of [`SortKey::NAMES`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name == "ended" { Some(Self::Ended) } else { SortKey::parse(name).map(Self::Session) }
    }
}

impl Sort {
    /// Reads an order: names separated by commas, each with an optional `-`. `Err` gives the first name
    /// that is not known, or that is given twice.
    ///
    /// # Errors
    /// That name.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, &str> {
        let mut sorts: Vec<Self> = Vec::new();
        for name in text.split(',').map(str::trim) {
            let (plain, is_descending) = name.strip_prefix('-').map_or((name, false), |rest| (rest, true));
            let key = SortKey::parse(plain).filter(|key| sorts.iter().all(|sort| sort.key != *key)).ok_or(name)?;
            sorts.push(Self { key, is_descending });
        }
        Ok(sorts)
    }
}

/// A session as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    /// The session's UUID.
    pub uuid: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// When it ends, unless it is used.
    pub expires_at: Timestamp,
    /// Where it was last used from.
    pub last_ip: Address,
    /// The last user agent's id in the dictionary.
    pub user_agent_id: i64,
    /// Whether its user asked to stay signed in.
    pub is_remembered: bool,
    /// The source that it lives at; `None`: Rollcall. The user is one of that source, the beginning is when it was
    /// first seen there, and what authentik does not tell is false.
    pub source: Option<SourceId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_stored_whole_and_recorded_in_terms() {
        let filter = SessionFilter {
            username: Some("alice".into()),
            user: Some(UserId(7)),
            last_ip: Address::parse("2001:db8::7"),
            network: Network::parse("10.0.0.0/8"),
            last_used_lte: Timestamp::parse("2026-11-01T12:00:00.123456Z"),
            search: vec!["MOZILLA".into(), "5.0".into()],
            search_people: Some(true),
            except: SessionId::parse("50499c33-bd55-4ced-8916-e466275b4b73"),
            ..SessionFilter::default()
        };
        let stored = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<SessionFilter>(&stored).unwrap(), filter);
        let terms: Vec<String> = filter.terms().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let want = "except=50499c33-bd55-4ced-8916-e466275b4b73 last_ip=2001:db8::7 last_used_lte=2026-11-01T12:00:00.123456Z \
            network=10.0.0.0/8 search=MOZILLA 5.0 search_people=true user=7 username=alice";
        assert_eq!(terms.join(" "), want);
        assert!(SessionFilter::default().terms().is_empty());
        let bare = SessionFilter { search_people: Some(true), ..SessionFilter::default() };
        assert!(!bare.is_narrow() && !bare.finds_people() && filter.is_narrow() && filter.finds_people());
    }

    #[test]
    fn an_order_is_a_list_of_known_names() {
        let sort = |key, is_descending| Sort { key, is_descending };
        assert_eq!(Sort::parse_list("username"), Ok(vec![sort(SortKey::Username, false)]));
        assert_eq!(Sort::parse_list("-last_used, uuid"), Ok(vec![sort(SortKey::LastUsed, true), sort(SortKey::Uuid, false)]));
        for (text, wrong) in [("", ""), ("uuid,", ""), ("nonsense", "nonsense"), ("--uuid", "--uuid"), ("user,-user", "-user")] {
            assert_eq!(Sort::parse_list(text), Err(wrong), "{text}");
        }
        for (name, key) in SortKey::NAMES {
            assert_eq!(SortKey::parse(name), Some(key));
        }
    }
}

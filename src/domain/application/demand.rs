//! Demands: what must hold before an application opens. An application has one; a path rule of its guard may
//! replace parts of it.

use std::fmt;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::domain::application::rule::{ApplicationRule, MAX_AGE_LIMIT, MAX_ALLOWED};
use crate::domain::{Method, Methods, Network, country};

/// A user or a group, by uuid, so that renaming changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The user with this uuid.
    User(Uuid),
    /// The members of the group with this uuid and of all groups within it.
    Group(Uuid),
}

/// Who may open something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allow {
    /// Nobody.
    #[default]
    Nobody,
    /// One of these users and groups; never empty.
    Those(Vec<Party>),
    /// Every user.
    SignedIn,
    /// Everybody, without a sign-in. For path rules only.
    Anyone,
}

impl Allow {
    /// These users and groups, each once; nobody for none.
    #[must_use]
    pub fn those(parties: impl IntoIterator<Item = Party>) -> Self {
        let mut listed: Vec<Party> = Vec::new();
        for party in parties {
            if !listed.contains(&party) {
                listed.push(party);
            }
        }
        if listed.is_empty() { Self::Nobody } else { Self::Those(listed) }
    }

    /// The users and groups that are named; none for the words.
    #[must_use]
    pub fn parties(&self) -> &[Party] {
        match self {
            Self::Those(parties) => parties,
            Self::Nobody | Self::SignedIn | Self::Anyone => &[],
        }
    }

    /// The word of an `allow` that names no user and no group.
    #[must_use]
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::Nobody => Some("nobody"),
            Self::SignedIn => Some("signed_in"),
            Self::Anyone => Some("anyone"),
            Self::Those(_) => None,
        }
    }

    /// The `allow` of that word; `None` when there is none.
    #[must_use]
    pub fn parse_word(word: &str) -> Option<Self> {
        [Self::Nobody, Self::SignedIn, Self::Anyone].into_iter().find(|allow| allow.word() == Some(word))
    }
}

/// How well a user must have proved who they are. Each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Anyhow.
    #[default]
    Any,
    /// By more than one factor.
    Mfa,
    /// By more than one factor, one of them a passkey or a security key.
    PhishingResistant,
    /// By more than one factor, one of them a key that does not leave its device.
    Hardware,
}

impl Level {
    /// All of them, the weakest first.
    pub const ALL: [Self; 4] = [Self::Any, Self::Mfa, Self::PhishingResistant, Self::Hardware];

    /// The word that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Mfa => "mfa",
            Self::PhishingResistant => "phishing_resistant",
            Self::Hardware => "hardware",
        }
    }

    /// The level of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }

    /// The authentication context class (`acr`) of the level in tokens and in RFC 9470's challenge.
    #[must_use]
    pub fn acr(self) -> &'static str {
        match self {
            Self::Any => "goauthentik.io/providers/oauth2/default",
            Self::Mfa => "urn:rollcall:acr:mfa",
            Self::PhishingResistant => "phr",
            Self::Hardware => "phrh",
        }
    }

    /// The highest level that these methods prove.
    #[must_use]
    pub fn of(methods: Methods) -> Self {
        if !methods.is_multi_factor() {
            Self::Any
        } else if methods.has(Method::HardwareKey) {
            Self::Hardware
        } else if methods.has(Method::SoftwareKey) {
            Self::PhishingResistant
        } else {
            Self::Mfa
        }
    }

    /// The level in words, as the end of a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Any => "any sign-in",
            Self::Mfa => "a second factor",
            Self::PhishingResistant => "a passkey or a security key",
            Self::Hardware => "a hardware security key",
        }
    }
}

/// What must hold before something opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demand {
    /// Who may.
    pub allow: Allow,
    /// How well the user must have proved who they are.
    pub factor: Level,
    /// The longest time since that proof; `None`: any.
    #[serde(with = "seconds")]
    pub max_age: Option<Duration>,
    /// The client's address must be in one of these; empty: any address.
    pub networks: Vec<Network>,
    /// The client's address must be in one of these countries (ISO codes); empty: anywhere.
    pub countries: Vec<String>,
    /// Whether an app password is accepted, without `factor` and `max_age`.
    pub app_passwords: bool,
}

/// The demand of a path rule: what is left out comes from the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemandChange {
    /// Who may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
    /// How well the user must have proved who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<Level>,
    /// The longest time since that proof; zero: any.
    #[serde(with = "seconds", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Networks; an empty list: any address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<Network>>,
    /// Countries; an empty list: anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub countries: Option<Vec<String>>,
    /// Whether an app password is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_passwords: Option<bool>,
}

impl Demand {
    /// The demand as it is stored, when it is an application's own: countries as ISO codes, no `max_age` of zero.
    ///
    /// # Errors
    /// The rule it breaks; `anyone` is for path rules only.
    pub fn check(self) -> Result<Self, ApplicationRule> {
        if self.allow == Allow::Anyone {
            return Err(ApplicationRule::AnyoneIsForRules);
        }
        let change = DemandChange {
            allow: Some(self.allow),
            factor: Some(self.factor),
            max_age: self.max_age,
            networks: Some(self.networks),
            countries: Some(self.countries),
            app_passwords: Some(self.app_passwords),
        };
        Ok(Self::default().with(&change.check()?))
    }

    /// The demand with these changes.
    #[must_use]
    pub fn with(&self, change: &DemandChange) -> Self {
        Self {
            allow: change.allow.clone().unwrap_or_else(|| self.allow.clone()),
            factor: change.factor.unwrap_or(self.factor),
            max_age: change.max_age.map_or(self.max_age, |age| Some(age).filter(|age| !age.is_zero())),
            networks: change.networks.clone().unwrap_or_else(|| self.networks.clone()),
            countries: change.countries.clone().unwrap_or_else(|| self.countries.clone()),
            app_passwords: change.app_passwords.unwrap_or(self.app_passwords),
        }
    }
}

impl DemandChange {
    /// The change as it is stored: countries as ISO codes.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn check(mut self) -> Result<Self, ApplicationRule> {
        if let Some(Allow::Those(parties)) = self.allow {
            let allow = Allow::those(parties);
            if allow.parties().len() > MAX_ALLOWED {
                return Err(ApplicationRule::ManyAllowed);
            }
            self.allow = Some(allow);
        }
        if self.max_age.is_some_and(|age| age > MAX_AGE_LIMIT) {
            return Err(ApplicationRule::MaxAge);
        }
        if self.networks.as_ref().is_some_and(|networks| networks.len() > MAX_ALLOWED) {
            return Err(ApplicationRule::ManyNetworks);
        }
        if let Some(countries) = &mut self.countries {
            for name in &mut *countries {
                *name = country::code(name).ok_or_else(|| ApplicationRule::Country(name.clone()))?.to_owned();
            }
            countries.sort_unstable();
            countries.dedup();
        }
        Ok(self)
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Party {
    /// `user` or `group` with its uuid: for the log and for lists without names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uuid) => write!(f, "user:{}", uuid.hyphenated()),
            Self::Group(uuid) => write!(f, "group:{}", uuid.hyphenated()),
        }
    }
}

/// A party in JSON: `{"user": "…"}` or `{"group": "…"}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum PartyJson {
    User(String),
    Group(String),
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::User(uuid) => PartyJson::User(uuid.hyphenated().to_string()),
            Self::Group(uuid) => PartyJson::Group(uuid.hyphenated().to_string()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let uuid = |text: String| Uuid::try_parse(&text).map_err(|_| D::Error::custom(format!("{text:?} is not a uuid")));
        Ok(match PartyJson::deserialize(deserializer)? {
            PartyJson::User(text) => Self::User(uuid(text)?),
            PartyJson::Group(text) => Self::Group(uuid(text)?),
        })
    }
}

/// An `allow` in JSON: a word, or a list.
#[derive(Deserialize)]
#[serde(untagged, expecting = "allow is nobody, signed_in, anyone, or a list of {\"user\": uuid} and {\"group\": uuid}")]
enum AllowJson {
    Word(String),
    Those(Vec<Party>),
}

impl Serialize for Allow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.word() {
            Some(word) => word.serialize(serializer),
            None => self.parties().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Allow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match AllowJson::deserialize(deserializer)? {
            AllowJson::Word(word) => Self::parse_word(&word)
                .ok_or_else(|| D::Error::custom(format!("allow is nobody, signed_in, anyone or a list, not {word:?}"))),
            AllowJson::Those(parties) => Ok(Self::those(parties)),
        }
    }
}

/// Durations in JSON: whole seconds, or null. They are read from texts such as `2h`, too.
mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a duration is a number of seconds or a text such as 2h")]
    enum Json {
        Seconds(u64),
        Text(String),
    }

    #[expect(clippy::ref_option, reason = "the shape that serde's `with` asks for")]
    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| duration.as_secs()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(match Option::<Json>::deserialize(deserializer)? {
            None => None,
            Some(Json::Seconds(seconds)) => Some(Duration::from_secs(seconds)),
            Some(Json::Text(text)) => Some(humantime::parse_duration(&text).map_err(D::Error::custom)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_level_includes_those_before_it() {
        let level = |methods: &str| Level::of(Methods::parse(methods));
        for (methods, expected) in [
            ("", Level::Any),
            ("pwd", Level::Any),
            ("hwk", Level::Any),
            ("pwd otp mfa", Level::Mfa),
            ("swk user mfa", Level::PhishingResistant),
            ("pwd hwk user mfa", Level::Hardware),
        ] {
            assert_eq!(level(methods), expected, "{methods}");
        }
        assert!(Level::ALL.is_sorted());
    }

    #[test]
    fn a_demand_reads_back_equal() {
        let user = Party::User(Uuid::from_u128(7));
        let demand = Demand {
            allow: Allow::those([user, Party::Group(Uuid::from_u128(8)), user]),
            factor: Level::PhishingResistant,
            max_age: Some(Duration::from_secs(7200)),
            networks: vec![Network::parse("10.0.0.0/8").unwrap()],
            countries: vec!["DE".into()],
            app_passwords: true,
        };
        assert_eq!(demand.allow.parties().len(), 2);
        let stored = serde_json::to_value(&demand).unwrap();
        assert_eq!(stored.pointer("/allow/0/user"), Some(&json!("00000000-0000-0000-0000-000000000007")));
        assert_eq!(serde_json::from_value::<Demand>(stored).unwrap(), demand);
        assert_eq!(serde_json::from_value::<Demand>(json!({})).unwrap(), Demand::default());
        let typed = json!({"allow": [], "max_age": "2h"});
        let read: Demand = serde_json::from_value(typed).unwrap();
        assert_eq!((read.allow, read.max_age), (Allow::Nobody, Some(Duration::from_secs(7200))));
        for bad in [
            json!({"allow": "everybody"}),
            json!({"allow": [{"user": "alice"}]}),
            json!({"allow": [{"users": "00000000-0000-0000-0000-000000000007"}]}),
            json!({"factor": "strong"}),
            json!({"max_age": -1}),
            json!({"max_age": "soon"}),
            json!({"networks": ["10.0.0.0/33"]}),
            json!({"alow": "signed_in"}),
        ] {
            assert!(serde_json::from_value::<Demand>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_changes_what_it_names_and_no_more() {
        let own = Demand {
            allow: Allow::SignedIn,
            max_age: Some(Duration::from_secs(60)),
            networks: vec![Network::parse("10.0.0.0/8").unwrap()],
            ..Demand::default()
        };
        assert_eq!(own.with(&DemandChange::default()), own);
        let change: DemandChange = serde_json::from_value(json!({"factor": "mfa", "max_age": 0})).unwrap();
        let changed = own.with(&change);
        assert_eq!((changed.factor, changed.max_age, &changed.networks), (Level::Mfa, None, &own.networks));
        assert_eq!(changed.allow, Allow::SignedIn);
        assert_eq!(own.with(&DemandChange { networks: Some(Vec::new()), ..Default::default() }).networks, []);
    }

    #[test]
    fn countries_are_iso_codes_and_anyone_is_for_rules() {
        let demand = Demand { countries: vec!["germany".into(), "DE".into(), "at".into()], ..Demand::default() };
        assert_eq!(demand.check().unwrap().countries, ["AT", "DE"]);
        let demand = Demand { countries: vec!["Atlantis".into()], ..Demand::default() };
        assert_eq!(demand.check(), Err(ApplicationRule::Country("Atlantis".into())));
        let anyone = Demand { allow: Allow::Anyone, ..Demand::default() };
        assert_eq!(anyone.check(), Err(ApplicationRule::AnyoneIsForRules));
        let zero = Demand { max_age: Some(Duration::ZERO), ..Demand::default() };
        assert_eq!(zero.check().unwrap().max_age, None);
    }
}

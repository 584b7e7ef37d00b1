//! What headers and claims say about a user: where each value comes from, and which group names are sent.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::domain::application::rule::ApplicationRule;

/// The longest constant and the longest path of an attribute, in bytes.
const MAX_LENGTH: usize = 500;
/// The most items of a list of group names.
const MAX_NAMES: usize = 500;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The username.
    Username,
    /// The full name.
    Name,
    /// The e-mail address.
    Email,
    /// Whether the address was verified: `true` or `false`.
    EmailVerified,
    /// authentik's `uid`, the same for one person in every app.
    Uid,
    /// The uuid.
    Uuid,
    /// The names of the groups that are sent.
    Groups,
    /// The attribute at this path, such as `department` or `phone.mobile`.
    Attribute(String),
    /// This text.
    Text(String),
}

/// What is known about a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The username.
    pub username: String,
    /// The full name, or `""`.
    pub name: String,
    /// The e-mail address, or `""`.
    pub email: String,
    /// Whether it was verified.
    pub is_email_verified: bool,
    /// authentik's `uid`.
    pub uid: String,
    /// The uuid.
    pub uuid: Uuid,
    /// The names of all groups, ancestors included.
    pub groups: Vec<String>,
    /// The attributes.
    pub attributes: Map<String, Value>,
    /// When the user was last changed, in seconds since 1970; `None`: not known.
    pub updated_at: Option<i64>,
    /// Whether the user administers Rollcall, by themselves or by a group.
    pub is_superuser: bool,
}

/// A value as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// One text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl Source {
    /// Reads `username`, `attributes.phone.mobile`, `text:constant` and so on.
    ///
    /// # Errors
    /// [`ApplicationRule::Source`].
    pub fn parse(text: &str) -> Result<Self, ApplicationRule> {
        let refused = || ApplicationRule::Source(text.to_owned());
        if text.len() > MAX_LENGTH {
            return Err(refused());
        }
        if let Some(constant) = text.strip_prefix("text:") {
            let is_one_line = !constant.is_empty() && !constant.chars().any(char::is_control);
            return if is_one_line { Ok(Self::Text(constant.to_owned())) } else { Err(refused()) };
        }
        if let Some(path) = text.strip_prefix("attributes.") {
            let has_parts = path.split('.').all(|part| !part.is_empty()) && !path.chars().any(char::is_control);
            return if has_parts { Ok(Self::Attribute(path.to_owned())) } else { Err(refused()) };
        }
        Ok(match text {
            "username" => Self::Username,
            "name" => Self::Name,
            "email" => Self::Email,
            "email_verified" => Self::EmailVerified,
            "uid" => Self::Uid,
            "uuid" => Self::Uuid,
            "groups" => Self::Groups,
            _ => return Err(refused()),
        })
    }

    /// The value for a user; `None`: there is none, and nothing is sent. `groups` are the names that are sent.
    #[must_use]
    pub fn value(&self, user: &Identity, groups: &GroupsSent) -> Option<Sent> {
        let text = match self {
            Self::Groups => {
                let sent: Vec<String> = user.groups.iter().filter(|name| groups.sends(name)).cloned().collect();
                return Some(Sent::List(sent)).filter(|sent| *sent != Sent::List(Vec::new()));
            }
            Self::Attribute(path) => return attribute(&user.attributes, path),
            Self::Username => user.username.clone(),
            Self::Name => user.name.clone(),
            Self::Email => user.email.clone(),
            Self::EmailVerified => user.is_email_verified.to_string(),
            Self::Uid => user.uid.clone(),
            Self::Uuid => user.uuid.hyphenated().to_string(),
            Self::Text(text) => text.clone(),
        };
        Some(text).filter(|text| !text.is_empty()).map(Sent::Text)
    }
}

/// The attribute at a path: texts, numbers and booleans as text, lists of these as a list. `None`: it is not there, is
/// empty, or is an object.
fn attribute(attributes: &Map<String, Value>, path: &str) -> Option<Sent> {
    let mut parts = path.split('.');
    let mut value = attributes.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    let plain = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => {
            Some(items.iter().filter_map(plain).collect::<Vec<_>>()).filter(|list| !list.is_empty()).map(Sent::List)
        }
        single => plain(single).map(Sent::Text),
    }
}

impl fmt::Display for Source {
    /// What [`Source::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Username => f.write_str("username"),
            Self::Name => f.write_str("name"),
            Self::Email => f.write_str("email"),
            Self::EmailVerified => f.write_str("email_verified"),
            Self::Uid => f.write_str("uid"),
            Self::Uuid => f.write_str("uuid"),
            Self::Groups => f.write_str("groups"),
            Self::Attribute(path) => write!(f, "attributes.{path}"),
            Self::Text(text) => write!(f, "text:{text}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Which names of groups headers and claims carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GroupsSent {
    /// All.
    #[default]
    All,
    /// These; a name that ends in `*` means all that begin so.
    Only(Vec<String>),
}

impl GroupsSent {
    /// The list as it is stored.
    ///
    /// # Errors
    /// [`ApplicationRule::GroupsSent`] when it is too long, or a name is empty.
    pub fn check(self) -> Result<Self, ApplicationRule> {
        match &self {
            Self::Only(names) if names.len() > MAX_NAMES || names.iter().any(String::is_empty) => Err(ApplicationRule::GroupsSent),
            _ => Ok(self),
        }
    }

    /// Whether the name of this group is sent. Letter case counts.
    #[must_use]
    pub fn sends(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|listed| match listed.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => listed == name,
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "groups_sent is all or a list of names")]
enum GroupsSentJson {
    Word(String),
    Only(Vec<String>),
}

impl Serialize for GroupsSent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => "all".serialize(serializer),
            Self::Only(names) => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for GroupsSent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match GroupsSentJson::deserialize(deserializer)? {
            GroupsSentJson::Word(word) if word == "all" => Ok(Self::All),
            GroupsSentJson::Word(word) => Err(D::Error::custom(format!("groups_sent is all or a list, not {word:?}"))),
            GroupsSentJson::Only(names) => Ok(Self::Only(names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
    fn text(text: &str) -> Option<Sent> {
        Some(Sent::Text(text.to_owned()))
    }

    #[test]
    fn a_source_reads_back_equal() {
        for word in [
            "username",
            "name",
            "email",
            "email_verified",
            "uid",
            "uuid",
            "groups",
            "attributes.a",
            "attributes.phone.mobile",
            "text:a b:c",
        ] {
            assert_eq!(Source::parse(word).unwrap().to_string(), word);
        }
        for bad in ["", "Username", "attributes", "attributes.", "attributes.a..b", "text:", "text:a\r\nX-Admin: yes", "password"] {
            assert_eq!(Source::parse(bad), Err(ApplicationRule::Source(bad.to_owned())), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_sent_for_what_is_not_known() {
        let attributes =
            json!({"phone": {"mobile": "+49"}, "tags": ["a", "", 7, {}], "none": [], "object": {}, "size": 7, "on": false});
        let Value::Object(attributes) = attributes else { panic!("an object") };
        let user =
            Identity { username: "alice".into(), groups: vec!["staff".into(), "app-x".into()], attributes, ..Identity::default() };
        let value = |source: &str| Source::parse(source).unwrap().value(&user, &GroupsSent::All);
        assert_eq!(value("username"), text("alice"));
        assert_eq!(value("email"), None);
        assert_eq!(value("email_verified"), text("false"));
        assert_eq!(value("attributes.phone.mobile"), text("+49"));
        assert_eq!(value("attributes.size"), text("7"));
        assert_eq!(value("attributes.on"), text("false"));
        assert_eq!(value("attributes.tags"), Some(Sent::List(vec!["a".into(), "7".into()])));
        for none in [
            "attributes.none",
            "attributes.object",
            "attributes.phone",
            "attributes.phone.home",
            "attributes.size.x",
            "attributes.x",
        ] {
            assert_eq!(value(none), None, "{none}");
        }
        let some = GroupsSent::Only(vec!["app-*".into()]);
        assert_eq!(Source::Groups.value(&user, &some), Some(Sent::List(vec!["app-x".into()])));
        assert_eq!(Source::Groups.value(&user, &GroupsSent::Only(vec!["app-".into()])), None);
    }
}

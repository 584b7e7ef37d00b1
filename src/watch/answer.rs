//! What authentik answers. Fields that are named here are required and of these types; others are dropped.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};

use crate::domain::names::is_shown;
use crate::domain::user_agent::storable;
use crate::domain::{Address, SessionId, Timestamp};
use crate::watch::SourceError;

/// The longest text of a name that is kept, in characters.
const LONGEST_NAME: usize = 300;

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// Where it is in the list.
    pub pagination: Pagination,
    /// Its rows.
    pub results: Vec<T>,
}

/// Where a page is in its list.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Pagination {
    /// How many rows the list has in all.
    pub count: u32,
    /// How many pages it has.
    pub total_pages: u32,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenSession {
    /// Its UUID.
    #[serde(deserialize_with = "uuid")]
    pub uuid: SessionId,
    /// The primary key of its user.
    pub user: i64,
    /// The address it was last used from.
    #[serde(deserialize_with = "address")]
    pub last_ip: Address,
    /// The user agent it was last used with, in the form that is stored.
    #[serde(deserialize_with = "agent")]
    pub last_user_agent: String,
    /// When it was last saved with a use.
    #[serde(deserialize_with = "instant")]
    pub last_used: Timestamp,
    /// When it ends; `None`: never.
    #[serde(deserialize_with = "opt_instant")]
    pub expires: Option<Timestamp>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenUser {
    /// The primary key.
    pub pk: i64,
    /// The name to sign in with.
    #[serde(deserialize_with = "name")]
    pub username: String,
    /// The full name.
    #[serde(default, deserialize_with = "name")]
    pub name: String,
    /// Whether they may sign in.
    #[serde(default = "yes")]
    pub is_active: bool,
    /// Whether they may do everything.
    #[serde(default)]
    pub is_superuser: bool,
}

/// The owner of the token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenOwner {
    /// The primary key.
    pub pk: i64,
    /// The name.
    #[serde(deserialize_with = "name")]
    pub username: String,
    /// Whether they may do everything.
    pub is_superuser: bool,
    /// An identifier made from the key and the secret of the instance: another instance has another one.
    #[serde(deserialize_with = "name")]
    pub uid: String,
}

/// A sign-in in the event log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenSignIn {
    /// The primary key of its user; `None`: the event does not say.
    #[serde(deserialize_with = "pk_of_user")]
    pub user: Option<i64>,
    /// The address of the request.
    #[serde(deserialize_with = "opt_address")]
    pub client_ip: Option<Address>,
    /// When.
    #[serde(deserialize_with = "instant")]
    pub created: Timestamp,
    /// What else it says.
    #[serde(deserialize_with = "proof")]
    pub context: SeenProof,
}

/// What a sign-in in the event log says of how it was done. Nothing of it is sure to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenProof {
    /// The user agent of the request, in the form that is stored; `None`: it does not say.
    pub user_agent: Option<String>,
    /// By what, in authentik's word, such as `password`; `""`: it does not say.
    pub method: String,
    /// Whether the device was known to the user; `None`: it does not say.
    pub is_known_device: Option<bool>,
}

/// A sign-out in the event log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenSignOut {
    /// The primary key of its user; `None`: the event does not say.
    #[serde(deserialize_with = "pk_of_user")]
    pub user: Option<i64>,
    /// The address of the request.
    #[serde(deserialize_with = "opt_address")]
    pub client_ip: Option<Address>,
    /// When.
    #[serde(deserialize_with = "instant")]
    pub created: Timestamp,
}

/// What `core/users/me/` has.
#[derive(Deserialize)]
pub(in crate::watch) struct Me {
    pub user: SeenOwner,
}

/// What `admin/version/` has.
#[derive(Deserialize)]
pub(in crate::watch) struct Version {
    #[serde(deserialize_with = "name")]
    pub version_current: String,
}

/// What `bulk_delete/` has.
#[derive(Deserialize)]
pub(in crate::watch) struct Deleted {
    pub deleted: u64,
}

/// Reads an answer.
///
/// # Errors
/// [`SourceError::Unreadable`] when a field is missing or of another type. The error has no text of the answer.
pub(in crate::watch) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field is missing or of another type",
            _ => "it is not JSON",
        };
        SourceError::Unreadable(format!("{what} (line {}, column {})", error.line(), error.column()))
    })
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from)
}

fn uuid<'de, D: Deserializer<'de>>(from: D) -> Result<SessionId, D::Error> {
    SessionId::parse(&text(from)?).ok_or_else(|| de::Error::custom("not a UUID"))
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
    Address::parse(&text(from)?).ok_or_else(|| de::Error::custom("not an address"))
}

fn agent<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from).map(|text| storable(&text))
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    Timestamp::parse(&text(from)?).ok_or_else(|| de::Error::custom("not an instant"))
}

fn opt_instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    Timestamp::parse(&text).map(Some).ok_or_else(|| de::Error::custom("not an instant"))
}

/// The primary key in the user of an event, which has what the time of the event knew.
fn pk_of_user<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Ok(serde_json::Value::deserialize(from)?.get("pk").and_then(serde_json::Value::as_i64))
}

/// What is known of a sign-in: its context is made by the flow, which may put anything there.
fn proof<'de, D: Deserializer<'de>>(from: D) -> Result<SeenProof, D::Error> {
    let context = serde_json::Value::deserialize(from)?;
    let text = |path: &str| context.pointer(path).and_then(serde_json::Value::as_str);
    Ok(SeenProof {
        user_agent: text("/http_request/user_agent").map(storable),
        method: text("/auth_method").map(shown).unwrap_or_default(),
        is_known_device: context.pointer("/auth_method_args/known_device").and_then(serde_json::Value::as_bool),
    })
}

fn opt_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Address>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| Address::parse(&text)))
}

/// A name as it is stored: cut, and with U+FFFD for what cannot be seen or turns the direction of text, so that nobody is
/// taken for somebody else.
fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from).map(|text| shown(&text))
}

fn shown(text: &str) -> String {
    text.chars().take(LONGEST_NAME).map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect()
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn session() -> Value {
        json!({
            "uuid": "50499C33-bd55-4ced-8916-e466275b4b73", "user": 7, "last_ip": "2001:db8::1", "last_user_agent": "curl/8",
            "last_used": "2026-11-28T18:00:00.000001Z", "expires": null, "new_field": {"of": ["a", "later", "version"]},
        })
    }

    #[test]
    fn unknown_fields_are_dropped() {
        let read: SeenSession = read(session().to_string().as_bytes()).unwrap();
        assert_eq!((read.user, read.last_user_agent.as_str(), read.expires), (7, "curl/8", None));
        assert_eq!(read.uuid.to_string(), "50499c33-bd55-4ced-8916-e466275b4b73");
    }

    #[test]
    fn a_missing_or_wrong_field_is_an_error_without_its_text() {
        for (field, value) in [
            ("uuid", json!("../../core/users/")),
            ("uuid", json!(7)),
            ("user", json!("7")),
            ("user", json!(7.5)),
            ("last_ip", json!("secret.example")),
            ("last_ip", json!(null)),
            ("last_user_agent", json!(null)),
            ("last_used", json!("yesterday")),
            ("expires", json!(12)),
        ] {
            let mut changed = session();
            changed[field] = value.clone();
            let error = read::<SeenSession>(changed.to_string().as_bytes()).unwrap_err();
            assert!(matches!(&error, SourceError::Unreadable(text) if !text.contains("secret")), "{field} {value}: {error}");
            changed.as_object_mut().unwrap().remove(field);
            assert!(read::<SeenSession>(changed.to_string().as_bytes()).is_err(), "{field} is required");
        }
        for body in ["", "<html>", "[]", "null", "{\"pagination\":{},\"results\":[]}", "{\"results\":[]}"] {
            assert!(read::<Page<SeenSession>>(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_sign_in_says_what_its_flow_put_there() {
        let event = |context: Value| {
            let event = json!({"user": {"pk": 7}, "client_ip": "192.0.2.1", "created": "2026-11-28T18:00:00Z", "context": context});
            read::<SeenSignIn>(event.to_string().as_bytes()).unwrap().context
        };
        let whole = json!({
            "auth_method": "password", "auth_method_args": {"known_device": true, "mfa_devices": []},
            "http_request": {"user_agent": "curl/8", "path": "/"},
        });
        let proof = SeenProof { user_agent: Some("curl/8".into()), method: "password".into(), is_known_device: Some(true) };
        assert_eq!(event(whole), proof);
        for context in [json!({}), json!(null), json!([1]), json!({"auth_method": 7, "auth_method_args": [], "http_request": "x"})]
        {
            assert_eq!(event(context), SeenProof::default());
        }
    }

    #[test]
    fn names_are_stored_cut_and_without_what_cannot_be_seen() {
        for (name, shown) in [
            ("nimda\u{202e}", "nimda\u{fffd}"),
            ("al\u{200b}ice", "al\u{fffd}ice"),
            ("a\nb\u{1b}[0m", "a\u{fffd}b\u{fffd}[0m"),
            ("zoë דוד 用户", "zoë דוד 用户"),
        ] {
            let user: SeenUser = read(json!({"pk": 1, "username": name}).to_string().as_bytes()).unwrap();
            assert_eq!(user.username, shown);
        }
        let user = json!({"pk": 1, "username": "a\u{0}b", "name": "é".repeat(400)});
        let user: SeenUser = read(user.to_string().as_bytes()).unwrap();
        assert_eq!((user.username.as_str(), user.name.chars().count(), user.is_active), ("a\u{fffd}b", 300, true));
    }
}

//! Two people at one form: what somebody else stored while it was open. A form carries what it showed. So each change of
//! the meantime can be named, and a field that was not touched takes what is stored now.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::domain::secret;
use crate::ui::words::isolate;

/// The longest text that a form carries, and that is said, in bytes; of a longer one there is a hash.
const LONGEST: usize = 200;
/// The longest list, in items.
const MOST_ITEMS: usize = 100;

const VERSION: &str = "version";
const SHOWN: &str = "shown";

/// The fields of a form as they are compared.
pub(in crate::ui) type Fields = Map<String, Value>;

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum FieldKind {
    /// A text, a choice or a list.
    Text,
    /// A box to tick.
    Box,
    /// A JSON object as text; null: it is too long for a form, and stays.
    Json,
    /// Whether something is so that the form does not offer.
    Mark,
}

/// What a form holds. Where it has fields named `version` and `shown`, these are the version of what it shows, and what
/// [`carry`] gives of it.
pub(in crate::ui) trait Form: Clone + Serialize + DeserializeOwned {
    /// The fields that may change while it is open: name, label and kind.
    const FIELDS: &'static [(&'static str, &'static str, FieldKind)];
}

/// A list of uuids in a form, as texts.
pub(in crate::ui) mod uuids {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    pub fn serialize<S: Serializer>(list: &[Uuid], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Uuid>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| Uuid::parse_str(text).map_err(Error::custom)).collect()
    }
}

/// A value as it is compared: in one order, without blanks around it, and as a hash where it is long.
fn compared(kind: FieldKind, value: Option<&Value>) -> Value {
    let value = match (kind, value.unwrap_or(&Value::Null)) {
        (FieldKind::Box | FieldKind::Mark, value) => json!(!matches!(value, Value::Null | Value::Bool(false))),
        (FieldKind::Json, Value::String(text)) if text.trim().is_empty() => json!({}),
        (FieldKind::Json, Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        (_, Value::String(text)) => json!(text.replace("\r\n", "\n").trim()),
        (_, Value::Array(items)) => {
            let mut texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            texts.sort_unstable();
            texts.dedup();
            json!(texts)
        }
        (_, other) => other.clone(),
    };
    let is_long = match &value {
        Value::Array(items) => items.len() > MOST_ITEMS,
        other => other.to_string().len() > LONGEST,
    };
    if is_long { json!({"sha256": secret::hex(&Sha256::digest(value.to_string()))}) } else { value }
}

fn raw<T: Form>(form: &T) -> Fields {
    match serde_json::to_value(form) {
        Ok(Value::Object(fields)) => fields,
        _ => Fields::new(),
    }
}

/// What a form shows.
pub(in crate::ui) fn shown<T: Form>(form: &T) -> Fields {
    let raw = raw(form);
    T::FIELDS.iter().map(|(name, _, kind)| ((*name).to_owned(), compared(*kind, raw.get(*name)))).collect()
}

/// The same as a form carries it in a hidden field.
pub(in crate::ui) fn carry<T: Form>(form: &T) -> String {
    Value::Object(shown(form)).to_string()
}

/// Reads what a form carried. One that does not say what it showed showed nothing.
fn carried(text: &str) -> Fields {
    serde_json::from_str(text).unwrap_or_default()
}

/// What a form showed that was sent.
pub(in crate::ui) fn carried_by<T: Form>(given: &T) -> Fields {
    raw(given).get(SHOWN).and_then(Value::as_str).map(carried).unwrap_or_default()
}

/// The items of a list among the fields.
pub(in crate::ui) fn items<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = &'a str> {
    fields.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A list with the changes that make `after` of `before`.
fn with_changes(list: &[Value], before: &[Value], after: &[Value]) -> Value {
    let mut merged: Vec<Value> = list.iter().filter(|it| after.contains(it) || !before.contains(it)).cloned().collect();
    merged.extend(after.iter().filter(|it| !before.contains(it) && !list.contains(it)).cloned());
    Value::Array(merged)
}

/// A value in words; `None`: it is too long to be said. `words` gives an item of a field another name.
fn said(name: &str, value: &Value, words: &dyn Fn(&str, &str) -> Option<String>) -> Option<String> {
    let item = |text: &str| words(name, text).unwrap_or_else(|| text.to_owned());
    let quoted = |text: &str| format!("“{}”", isolate(text.replace('\n', ", ")));
    match value {
        Value::Bool(is) => Some(if *is { "yes" } else { "no" }.to_owned()),
        Value::String(text) if text.is_empty() => Some("empty".to_owned()),
        Value::String(text) => Some(quoted(&item(text))),
        Value::Array(items) if items.is_empty() => Some("none".to_owned()),
        Value::Array(items) => {
            Some(items.iter().filter_map(Value::as_str).map(|it| quoted(&item(it))).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) if fields.is_empty() => Some("empty".to_owned()),
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("sha256") => None,
        Value::Object(_) => Some(quoted(&value.to_string())),
        Value::Null | Value::Number(_) => None,
    }
}

/// A form after somebody else stored something.
#[derive(Debug, PartialEq)]
pub(in crate::ui) struct Merged<T> {
    /// What was typed, and for the rest what is stored now.
    pub form: T,
    /// What was changed since, in sentences.
    pub lines: Vec<String>,
}

/// Brings three together: what a form showed, what was sent, and what is stored now.
pub(in crate::ui) fn merge<T: Form>(
    shown: &Fields,
    given: &T,
    stored: &T,
    words: &dyn Fn(&str, &str) -> Option<String>,
) -> Merged<T> {
    let (mut merged, now_raw) = (raw(given), raw(stored));
    let mut lines = Vec::new();
    for (name, label, kind) in T::FIELDS {
        let (mine, now) = (compared(*kind, merged.get(*name)), compared(*kind, now_raw.get(*name)));
        let is_now = |said: &str| format!("{label}: is now {said}.");
        let Some(was) = shown.get(*name) else {
            if mine != now && *kind != FieldKind::Mark {
                lines.push(said(name, &now, words).map_or_else(|| format!("{label}: differs."), |now| is_now(&now)));
            }
            continue;
        };
        if *was == now {
            continue;
        }
        let mut line = match (said(name, was, words), said(name, &now, words)) {
            (Some(was), Some(now)) => format!("{label}: was {was}, is now {now}."),
            (None, Some(now)) => is_now(&now),
            (_, None) => format!("{label}: changed."),
        };
        if *kind == FieldKind::Mark || mine == *was {
            merged.insert((*name).to_owned(), now_raw.get(*name).cloned().unwrap_or_default());
        } else if mine != now {
            if let (Value::Array(list), Value::Array(before), Value::Array(after)) = (&now, was, &mine) {
                merged.insert((*name).to_owned(), with_changes(list, before, after));
                line.push_str(" Your change is added to it below.");
            } else {
                let wrote = match said(name, &mine, words) {
                    Some(mine) => format!(" You wrote {mine}, which is below."),
                    None => " What you wrote is below.".to_owned(),
                };
                line.push_str(&wrote);
            }
        }
        lines.push(line);
    }
    let form = serde_json::from_value(Value::Object(merged)).unwrap_or_else(|_| given.clone());
    Merged { form, lines }
}

/// The form as it goes on after somebody else stored `stored`: with that version, and with what it carries of it.
pub(in crate::ui) fn onto<T: Form>(given: &T, stored: &T, words: &dyn Fn(&str, &str) -> Option<String>) -> Merged<T> {
    let Merged { form, lines } = merge(&carried_by(given), given, stored, words);
    let (mut fields, now) = (raw(&form), raw(stored));
    for name in [VERSION, SHOWN] {
        fields.insert(name.to_owned(), now.get(name).cloned().unwrap_or_default());
    }
    let form = serde_json::from_value(Value::Object(fields)).unwrap_or(form);
    Merged { form, lines }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Person {
        name: String,
        is_verified: bool,
        hidden: Option<String>,
        groups: Vec<String>,
        attributes: Option<String>,
        active: bool,
        version: i64,
    }

    impl Form for Person {
        const FIELDS: &'static [(&'static str, &'static str, FieldKind)] = &[
            ("name", "Name", FieldKind::Text),
            ("is_verified", "Known", FieldKind::Box),
            ("hidden", "Hidden", FieldKind::Box),
            ("groups", "Groups", FieldKind::Text),
            ("attributes", "Attributes", FieldKind::Json),
            ("active", "Active", FieldKind::Mark),
        ];
    }

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn group(field: &str, item: &str) -> Option<String> {
        (field == "groups").then(|| format!("the {item}"))
    }

    #[test]
    fn what_was_not_touched_takes_what_is_stored() {
        let before = Person {
            name: "Zoe".into(),
            groups: list(&["b", "a"]),
            attributes: Some("{\"a\": 1}".into()),
            active: true,
            version: 1,
            ..Person::default()
        };
        let given = Person { name: " Zoe\r\n".into(), groups: list(&["a", "b", "c"]), active: false, ..before.clone() };
        let stored = Person {
            name: "Zoë".into(),
            is_verified: true,
            hidden: Some("yes".into()),
            groups: list(&["a", "d"]),
            attributes: Some("{ \"a\" : 1 }".into()),
            active: false,
            version: 2,
        };
        let merged = merge(&carried(&carry(&before)), &given, &stored, &group);
        assert_eq!(
            merged.lines,
            [
                "Name: was “Zoe”, is now “\u{2068}Zoë\u{2069}”.",
                "Known: was no, is now yes.",
                "Hidden: was no, is now yes.",
                "Groups: was “the a”, “the b”, is now “the a”, “the d”. Your change is added to it below.",
                "Active: was yes, is now no.",
            ]
        );
        let expected = Person { groups: list(&["a", "d", "c"]), attributes: given.attributes.clone(), version: 1, ..stored };
        assert_eq!(merged.form, expected);
    }

    #[test]
    fn what_was_touched_stays_and_is_named() {
        let before = Person { name: "a".into(), attributes: Some(String::new()), ..Person::default() };
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST));
        let given = Person { name: "b".into(), attributes: Some("{\"mine\":1}".into()), ..before.clone() };
        let stored = Person { name: "c".into(), attributes: Some(long.clone()), ..before.clone() };
        let merged = merge(&carried(&carry(&before)), &given, &stored, &group);
        assert_eq!(
            merged.lines,
            [
                "Name: was “a”, is now “c”. You wrote “b”, which is below.",
                "Attributes: changed. You wrote “{\"mine\":1}”, which is below.",
            ]
        );
        assert_eq!(merged.form, given);
        // Both wrote the same, or nobody anything.
        let same = merge(&carried(&carry(&before)), &stored, &stored, &group);
        assert_eq!(same.lines, ["Name: was “a”, is now “c”.", "Attributes: changed."]);
        assert!(merge(&carried(&carry(&stored)), &given, &stored, &group).lines.is_empty());
        // What is long is carried as a hash.
        assert!(!carry(&stored).contains("xxx"));
        // A form that does not say what it showed keeps what it holds.
        let blind = merge(&carried(""), &given, &stored, &group);
        assert_eq!((blind.form, blind.lines), (given, vec!["Name: is now “c”.".to_owned(), "Attributes: differs.".to_owned()]));
    }
}

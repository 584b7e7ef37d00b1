//! What events show of attributes: not what looks like a secret, at whatever depth.

use serde_json::{Map, Value, json};

/// What is shown in place of a secret.
pub const MASK: &str = "…";

/// A name with one of these in it is of a secret.
const PARTS: [&str; 8] = ["secret", "password", "passwd", "passphrase", "passcode", "token", "key", "credential"];
/// A name with one of these as a word is of a secret; as parts they are in `passport` and `shipping`, too.
const WORDS: [&str; 5] = ["pass", "pin", "pins", "psk", "pwd"];

/// Whether what has this name looks like a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    PARTS.iter().any(|part| lower.contains(part)) || words(name).iter().any(|word| WORDS.contains(&word.as_str()))
}

/// The words of a name in lower case: they end at what is no letter, and before a capital that follows a small letter.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut word, mut was_small) = (Vec::new(), String::new(), false);
    for c in name.chars() {
        if !c.is_alphabetic() || (was_small && c.is_uppercase()) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        }
        was_small = c.is_lowercase();
    }
    words.push(word);
    words
}

/// A value, whose name is `name`, without what looks like a secret.
#[must_use]
pub fn masked(name: &str, value: &Value) -> Value {
    if is_secret_name(name) { json!(MASK) } else { within(value) }
}

fn within(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(masked_map(map)),
        Value::Array(list) => Value::Array(list.iter().map(within).collect()),
        other => other.clone(),
    }
}

fn masked_map(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect()
}

/// The content of an event as pages and files show it: earlier versions recorded secrets within attributes.
#[must_use]
pub fn shown(mut content: Map<String, Value>) -> Map<String, Value> {
    if let Some(attributes) = content.get_mut("changes").and_then(|changes| changes.get_mut("attributes")) {
        *attributes = within(attributes);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_others_are_not() {
        for name in [
            "password",
            "DB_PASSWORD",
            "apiKey",
            "pass",
            "user-pass",
            "smtpPass",
            "PIN",
            "pin2",
            "door pins",
            "Credentials",
            "db_pwd",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["passport", "compass", "shipping", "opinion", "spinPinned", "floor", "settings", "", "bypassed"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_masked_at_every_depth() {
        let value = json!({"nested": {"password": "hunter3", "floor": 1}, "list": [{"pin": 1234}, [{"a": {"token": ["x"]}}], "b"]});
        let want = json!({"nested": {"password": "…", "floor": 1}, "list": [{"pin": "…"}, [{"a": {"token": "…"}}], "b"]});
        assert_eq!(masked("attributes", &value), want);
        assert_eq!(masked("my_secrets", &value), json!("…"));
    }

    #[test]
    fn secrets_that_were_recorded_are_not_shown() {
        let recorded = json!({"changes": {
            "attributes": {"before": {"smtp": {"password": "hunter2"}}, "after": {"smtp": {"host": "a"}}}, "name": {"before": "a", "after": "b"},
        }});
        let want = json!({"changes": {
            "attributes": {"before": {"smtp": {"password": "…"}}, "after": {"smtp": {"host": "a"}}}, "name": {"before": "a", "after": "b"},
        }});
        let Value::Object(recorded) = recorded else { panic!() };
        assert_eq!(Value::Object(shown(recorded)), want);
    }
}

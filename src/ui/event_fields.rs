//! What an event holds beyond its sentence: its fields, and what each was before.

use serde_json::Value;

use crate::domain::event::text::grouped;
use crate::domain::event::{EventContent, masked};
use crate::domain::policy::Policy;

/// The longest value, in characters.
const LONGEST: usize = 400;
/// How many values of a list are shown.
const MOST: usize = 20;

/// A field, in words.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ui) struct EventField {
    pub name: String,
    /// What it was, where that is recorded; `""`: nothing.
    pub before: Option<String>,
    /// What it is; `""`: nothing.
    pub after: String,
}

/// The fields of an event that hold something. What changed comes with what it was before. What is masked in the record
/// stays masked.
pub(in crate::ui) fn fields(content: &EventContent) -> Vec<EventField> {
    let content = masked::shown(content.to_json());
    let mut all = Vec::new();
    for (name, value) in &content {
        match (name.as_str(), value) {
            ("changes", Value::Object(changes)) => {
                for (name, change) in changes {
                    let of = |side: &str| change.get(side).map(words).unwrap_or_default();
                    all.push(EventField { name: spaced(name), before: Some(of("before")), after: of("after") });
                }
            }
            ("policy", policy) => {
                let before = content.get("before").filter(|before| before.is_object()).map(policy_words);
                all.push(EventField { name: spaced(name), before, after: policy_words(policy) });
            }
            ("before", _) if content.contains_key("policy") => {}
            _ => {
                let after = words(value);
                if !after.is_empty() {
                    all.push(EventField { name: spaced(name), before: None, after });
                }
            }
        }
    }
    all
}

fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

fn policy_words(value: &Value) -> String {
    serde_json::from_value::<Policy>(value.clone()).map_or_else(|_| words(value), |policy| policy.to_string())
}

/// A value in words; `""`: there is none.
fn words(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => listed(items.iter().map(words)),
        Value::Object(items) => listed(items.iter().map(|(name, value)| {
            let value = words(value);
            if value.is_empty() { name.clone() } else { format!("{name}: {value}") }
        })),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let count = items.len();
    let mut text = items.take(MOST).collect::<Vec<_>>().join(", ");
    if count > MOST {
        text = format!("{text} and {} more", grouped(count - MOST));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &str, content: &str) -> Vec<(String, Option<String>, String)> {
        let fields = fields(&EventContent::read(kind, content));
        fields.into_iter().map(|field| (field.name, field.before, field.after)).collect()
    }

    #[test]
    fn what_changed_comes_with_what_it_was() {
        let content = r#"{"changes": {
            "email": {"before": "", "after": "a@b.example"},
            "is_superuser": {"before": false, "after": true},
            "groups": {"before": ["ops"], "after": ["ops", "dev"]},
            "attributes": {"before": {"api_key": "…"}, "after": {"api_key": "…", "…": null}}}}"#;
        let field = |name: &str, before: &str, after: &str| (name.to_owned(), Some(before.to_owned()), after.to_owned());
        assert_eq!(
            shown("user_changed", content),
            [
                field("attributes", "api_key: …", "api_key: …, …"),
                field("email", "", "a@b.example"),
                field("groups", "ops", "ops, dev"),
                field("is superuser", "no", "yes"),
            ]
        );
    }

    #[test]
    fn a_policy_is_said_as_its_page_says_it() {
        let content = r#"{"before": {"max_sessions": 3}, "policy": {"max_sessions": 5}}"#;
        let of = |most| Policy { max_sessions: Some(most), ..Policy::default() }.to_string();
        assert_eq!(shown("instance_policy_set", content), [("policy".to_owned(), Some(of(3)), of(5))]);
    }

    #[test]
    fn other_fields_are_named_if_they_hold_something() {
        let field = |name: &str, after: &str| (name.to_owned(), None, after.to_owned());
        let content = r#"{"filter": {"browser": "Firefox"}, "expected": 3, "count": null, "comment": ""}"#;
        let of_many = shown("sessions_ended", content);
        assert!(of_many.contains(&field("filter", "browser: Firefox")) && of_many.contains(&field("expected", "3")), "{of_many:?}");
        assert!(of_many.iter().all(|(name, ..)| name != "count" && name != "comment"), "{of_many:?}");
        assert!(shown("sign_out", "{}").is_empty());
        let many: Vec<String> = (0..1_030).map(|n| format!("\"u{n}\"")).collect();
        let added = shown("group_changed", &format!(r#"{{"group": "ops", "added": [{}]}}"#, many.join(",")));
        let (.., added) = added.into_iter().find(|(name, ..)| name == "added").unwrap();
        assert!(added.starts_with("u0, u1, ") && added.ends_with("u19 and 1,010 more"), "{added}");
        let long = shown("session_named", &format!(r#"{{"name": "{}"}}"#, "é".repeat(500)));
        assert_eq!(long[0].2.chars().count(), LONGEST + 1);
    }
}

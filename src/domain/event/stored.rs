//! How the content of an event is stored.

use serde_json::{Map, Value};

use crate::domain::event::EventContent;

impl EventContent {
    /// The content without its kind, as it is stored and exported: a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        if let Self::Other { content, .. } = self {
            return content.clone();
        }
        match serde_json::to_value(self) {
            Ok(Value::Object(mut whole)) => match whole.remove("content") {
                Some(Value::Object(content)) => content,
                _ => Map::new(),
            },
            _ => Map::new(),
        }
    }

    /// The content of an event of this kind that was stored as this JSON object. What cannot be read is
    /// [`EventContent::Other`], so that one row never keeps a list from being shown.
    #[must_use]
    pub fn read(kind: &str, content: &str) -> Self {
        // Lists read hundreds: one pass over the text, without a tree of values in between.
        let whole = format!(r#"{{"kind":{},"content":{content}}}"#, Value::from(kind));
        serde_json::from_str(&whole)
            .unwrap_or_else(|_| Self::Other { kind: kind.to_owned(), content: serde_json::from_str(content).unwrap_or_default() })
    }
}

//! UUIDs in answers.

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A UUID as authentik writes it: lower-case, with dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub Uuid);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.hyphenated())
    }
}

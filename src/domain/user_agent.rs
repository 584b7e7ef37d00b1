//! User agents: what a client says it is, and the parts read from it.

use serde::{Deserialize, Serialize};

/// The longest user agent that is stored, in bytes. A longer one is cut on a character.
pub const MAX_LENGTH: usize = 2048;

/// Makes a received user agent fit to store: cut to [`MAX_LENGTH`] bytes on a character, and NUL,
/// which PostgreSQL's text cannot hold, becomes U+FFFD.
#[must_use]
pub fn storable(received: &str) -> String {
    let text = received.replace('\0', "\u{fffd}");
    let mut end = text.len().min(MAX_LENGTH);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// A browser and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
    /// Such as `Firefox`; `Other` when no rule knows it.
    pub family: String,
    /// First part of the version, `""` when not known, as all parts.
    pub major: String,
    /// Second part.
    pub minor: String,
    /// Third part.
    pub patch: String,
}

/// An operating system and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Such as `Windows`; `Other` when no rule knows it.
    pub family: String,
    /// First part of the version, `""` when not known, as all parts.
    pub major: String,
    /// Second part.
    pub minor: String,
    /// Third part.
    pub patch: String,
    /// Fourth part.
    pub patch_minor: String,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Such as `iPhone`; `Other` when no rule knows it.
    pub family: String,
    /// Who makes it, or `""`.
    pub brand: String,
    /// Its model, or `""`.
    pub model: String,
}

/// What uap-core's rules read from a user agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedAgent {
    /// The browser.
    pub browser: Browser,
    /// The operating system.
    pub system: System,
    /// The device.
    pub device: Device,
}

impl ParsedAgent {
    /// In words, such as `Firefox 131 on Linux`.
    #[must_use]
    pub fn describe(&self) -> String {
        let browser = &self.browser;
        let mut words = match (browser.family.as_str(), browser.major.as_str()) {
            ("Other" | "", _) => "Unknown browser".to_owned(),
            (family, "") => family.to_owned(),
            (family, major) => format!("{family} {major}"),
        };
        if !matches!(self.system.family.as_str(), "Other" | "") {
            words.push_str(" on ");
            words.push_str(&self.system.family);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_agents_are_cut_on_a_character() {
        let long = "é".repeat(MAX_LENGTH);
        assert_eq!(storable(&long).len(), MAX_LENGTH);
        assert_eq!(storable(&format!("x{long}")).len(), MAX_LENGTH - 1);
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
        assert_eq!(storable(""), "");
    }

    #[test]
    fn described_in_words() {
        let mut agent = ParsedAgent::default();
        assert_eq!(agent.describe(), "Unknown browser");
        agent.browser = Browser { family: "Firefox".into(), major: "131".into(), ..Browser::default() };
        agent.system.family = "Linux".into();
        assert_eq!(agent.describe(), "Firefox 131 on Linux");
    }
}

//! User agents: what a client says it is, the parts read from it, the kind of device, and its name.

mod kind;
mod products;

pub use kind::Kind;

use serde::{Deserialize, Serialize};

use crate::domain::names;

/// The longest user agent that is stored, in bytes. A longer one is cut on a character.
pub const MAX_LENGTH: usize = 2048;

/// The form of a received user agent that is stored: cut to [`MAX_LENGTH`] bytes at a character,
/// and with U+FFFD for NUL, which PostgreSQL's text cannot hold.
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

/// The parts that uap-core's rules read from a user agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedAgent {
    /// The browser.
    pub browser: Browser,
    /// The operating system.
    pub system: System,
    /// The device.
    pub device: Device,
}

/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 80;

/// Families of devices that name no model. Chrome says `K` instead of a model since version 110.
const NO_MODELS: &[&str] = &[
    "",
    "Other",
    "Spider",
    "Mac",
    "iOS-Device",
    "Generic Smartphone",
    "Generic Tablet",
    "Generic Feature Phone",
    "K",
    "Huawei Browser",
];

/// Consoles that uap-core knows no device for, or another one.
const CONSOLES: &[(&str, &str)] = &[
    ("New Nintendo 3DS", "New Nintendo 3DS"),
    ("Nintendo 3DS", "Nintendo 3DS"),
    ("Xbox Series X", "Xbox Series X"),
    ("Xbox Series S", "Xbox Series S"),
    ("Xbox One", "Xbox One"),
    ("Xbox", "Xbox"),
    ("SteamDeck", "Steam Deck"),
];

/// What sent a user agent, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The kind of the device.
    pub kind: Kind,
    /// The device and browser, browser and system, or program: `Pixel 9 · Chrome`, `Firefox 131 on
    /// Linux`, `okhttp 4`. At most 80 characters.
    pub words: String,
}

impl ParsedAgent {
    /// What sent `text`, from which these parts were read.
    #[must_use]
    pub fn about(&self, text: &str) -> About {
        let kind = Kind::of(text, self);
        About { kind, words: self.describe(text, kind) }
    }

    /// The words of [`About`], of at most 80 characters:
    ///
    /// - A device whose model is known: `Pixel 9 · Chrome`.
    /// - Otherwise the browser and the system: `Firefox 131 on Linux`.
    /// - An app that is no browser has the name it gives itself: `MyApp 1 on iOS`, `okhttp 4`.
    /// - A text that nothing is known of is its own description.
    fn describe(&self, text: &str, kind: Kind) -> String {
        let program = self.program(text).or_else(|| self.browser_name());
        let system = Some(self.system.family.as_str()).filter(|family| !matches!(*family, "Other" | ""));
        let words = match (self.model(text, kind), program, system) {
            (Some(model), Some((name, _)), _) if name != model => format!("{model} · {name}"),
            (Some(model), _, _) => model,
            (None, Some((name, major)), system) => {
                let version = if major.is_empty() { major } else { format!(" {major}") };
                let system = system.map(|system| format!(" on {system}")).unwrap_or_default();
                format!("{name}{version}{system}")
            }
            (None, None, Some(system)) => format!("Unknown browser on {system}"),
            (None, None, None) if text.trim().is_empty() => "Unknown browser".to_owned(),
            (None, None, None) => text.to_owned(),
        };
        words.chars().filter(|c| names::is_shown(*c)).take(LONGEST_DESCRIPTION).collect()
    }

    /// The name of an app that is no browser and the first part of its version, as it names itself
    /// in `text`. `None` for a browser, and for an app that gives no name.
    pub(super) fn program(&self, text: &str) -> Option<(String, String)> {
        let family = self.browser.family.as_str();
        // uap-core names the web view or the platform where it knows no browser.
        let is_stand_in = matches!(family, "Other" | "" | "Android" | "CFNetwork" | "Electron")
            || family.contains("WebView")
            || text.contains("Electron/")
            || text.contains(" CFNetwork/");
        if is_stand_in { products::program(text) } else { None }
    }

    /// The browser and the first part of its version. The name is one for all platforms: uap-core's
    /// `Chrome Mobile iOS` is `Chrome`.
    fn browser_name(&self) -> Option<(String, String)> {
        let family = self.browser.family.as_str();
        let name = match family {
            "Other" | "" => return None,
            "Mobile Safari UI/WKWebView" => "Safari WebView".to_owned(),
            _ => {
                let name = family.strip_prefix("Mobile ").unwrap_or(family);
                let name = name.strip_suffix(" iOS").unwrap_or(name);
                name.strip_suffix(" Mobile").map_or_else(|| name.replace(" Mobile WebView", " WebView"), str::to_owned)
            }
        };
        Some((name, self.browser.major.clone()))
    }

    /// The model of a device that is no computer, where it is known.
    fn model(&self, text: &str, kind: Kind) -> Option<String> {
        let platform = products::platform(text);
        if kind == Kind::Console
            && let Some((_, name)) = CONSOLES.iter().find(|(mark, _)| platform.contains(mark))
        {
            return Some((*name).to_owned());
        }
        let device = &self.device;
        if kind == Kind::Television && device.family.starts_with("AFT") {
            return Some("Amazon Fire TV".to_owned());
        }
        let has_model = match kind {
            Kind::Phone | Kind::Tablet | Kind::Television | Kind::Console | Kind::Watch | Kind::Headset => true,
            Kind::Computer | Kind::Bot | Kind::Program | Kind::Unknown => false,
        };
        if !has_model || NO_MODELS.contains(&device.family.as_str()) {
            return None;
        }
        Some(match device.family.as_str() {
            "HbbTV" if device.brand.is_empty() => "TV".to_owned(),
            "HbbTV" => format!("{} TV", device.brand),
            // Some families are lines of models: `Quest`, of which `Quest 2` is one.
            family if device.model.starts_with(family) => device.model.replace('_', " "),
            family => family.replace('_', " "),
        })
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
        let words = |agent: &ParsedAgent, text: &str| agent.about(text).words;
        assert_eq!(words(&agent, ""), "Unknown browser");
        assert_eq!(words(&agent, "=1+\u{202e}1"), "=1+1", "nothing turns the direction of what follows");
        assert_eq!(words(&agent, &"§".repeat(200)).chars().count(), 80);
        agent.browser = Browser { family: "Firefox".into(), major: "131".into(), ..Browser::default() };
        agent.system.family = "Linux".into();
        assert_eq!(words(&agent, "Mozilla/5.0"), "Firefox 131 on Linux");
        agent.browser.family = "Other".into();
        assert_eq!(words(&agent, "Mozilla/5.0"), "Unknown browser on Linux");
    }
}

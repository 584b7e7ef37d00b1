//! User agents → browser, system, device, by uap-core's rules.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use ua_parser::{Extractor, Regexes};

use crate::domain::secret::hex;
use crate::domain::user_agent::{Browser, Device, ParsedAgent, System};

/// The rules that come with the binary.
const BUILT_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/regexes.yaml"));

/// Reads user agents. The rules take a while and some 30 MB to compile, so that is done when the
/// first unknown text comes, and undone when [`UserAgents::rest`] finds them unused.
pub struct UserAgents {
    text: std::borrow::Cow<'static, str>,
    /// What identifies the rules: parsed entries remember it.
    fingerprint: String,
    compiled: Mutex<Compiled>,
}

#[derive(Default)]
struct Compiled {
    extractor: Option<Arc<Extractor<'static>>>,
    was_used: bool,
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// It is no `regexes.yaml`.
    #[error("{0}: {1}")]
    Parse(PathBuf, String),
}

impl UserAgents {
    /// Rules from a file, or the built-in ones. A file is compiled once to find its mistakes now.
    ///
    /// # Errors
    /// When the file cannot be read or holds no rules.
    pub fn load(path: Option<&PathBuf>) -> Result<Self, RulesError> {
        let Some(path) = path else { return Ok(Self::new(BUILT_IN.into())) };
        let text = std::fs::read_to_string(path).map_err(|error| RulesError::Read(path.clone(), error))?;
        compile(&text).map_err(|error| RulesError::Parse(path.clone(), error))?;
        Ok(Self::new(text.into()))
    }

    fn new(text: std::borrow::Cow<'static, str>) -> Self {
        let mut fingerprint = hex(&Sha256::digest(text.as_bytes()));
        fingerprint.truncate(16);
        Self { text, fingerprint, compiled: Mutex::default() }
    }

    /// What identifies the rules.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Reads the parts of a user agent. A family that no rule knows is `Other`; parts that the rules
    /// do not give are `""`.
    #[must_use]
    pub fn parse(&self, text: &str) -> ParsedAgent {
        let other = || "Other".to_owned();
        let text_of = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let Some(extractor) = self.extractor() else {
            return ParsedAgent {
                browser: Browser { family: other(), ..Browser::default() },
                system: System { family: other(), ..System::default() },
                device: Device { family: other(), ..Device::default() },
            };
        };
        let (browser, system, device) = extractor.extract(text);
        ParsedAgent {
            browser: browser.map_or_else(
                || Browser { family: other(), ..Browser::default() },
                |found| Browser {
                    family: found.family.into_owned(),
                    major: text_of(found.major),
                    minor: text_of(found.minor),
                    patch: text_of(found.patch),
                },
            ),
            system: system.map_or_else(
                || System { family: other(), ..System::default() },
                |found| System {
                    family: found.os.into_owned(),
                    major: text_of(found.major.as_deref()),
                    minor: text_of(found.minor.as_deref()),
                    patch: text_of(found.patch.as_deref()),
                    patch_minor: text_of(found.patch_minor.as_deref()),
                },
            ),
            device: device.map_or_else(
                || Device { family: other(), ..Device::default() },
                |found| Device {
                    family: found.device.into_owned(),
                    brand: text_of(found.brand.as_deref()),
                    model: text_of(found.model.as_deref()),
                },
            ),
        }
    }

    fn extractor(&self) -> Option<Arc<Extractor<'static>>> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.was_used = true;
        if compiled.extractor.is_none() {
            compiled.extractor = compile(&self.text)
                .inspect_err(|error| tracing::error!(error, "the user agent rules cannot be used"))
                .ok()
                .map(Arc::new);
        }
        compiled.extractor.clone()
    }

    /// Forgets the compiled rules if they were not used since the last call.
    pub fn rest(&self) {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut compiled.was_used) {
            compiled.extractor = None;
        }
    }
}

fn compile(text: &str) -> Result<Extractor<'static>, String> {
    let regexes: Regexes<'static> = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    Extractor::try_from(regexes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_browser_and_rests() {
        let agents = UserAgents::load(None).unwrap();
        let firefox = agents.parse("Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0");
        assert_eq!(firefox.describe(), "Firefox 131 on Linux");
        assert_eq!(firefox.browser.patch, "");
        agents.rest();
        agents.rest();
        assert!(agents.compiled.lock().unwrap().extractor.is_none());
        assert_eq!(agents.parse("").browser.family, "Other");
        assert_eq!(agents.fingerprint().len(), 16);
    }

    #[test]
    fn broken_rules_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "user_agent_parsers: 7").unwrap();
        assert!(UserAgents::load(Some(&file.path().to_owned())).is_err());
        assert!(UserAgents::load(Some(&PathBuf::from("/nowhere"))).is_err());
    }
}

//! Reads browser, system and device from a user agent by uap-core's rules.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use ua_parser::{Extractor, Regexes};

use crate::domain::secret::hex;
use crate::domain::user_agent::{Browser, Device, ParsedAgent, System};
use crate::files;

/// The built-in rules. `scripts/update-user-agent-rules` renews them.
const BUILT_IN: &str = include_str!("../../data/uap-core/regexes.yaml");

/// The compiled built-in rules. All [`UserAgents`] of the process share them, so reading the settings again compiles nothing.
static SHARED: LazyLock<Arc<Mutex<Compiled>>> = LazyLock::new(Arc::default);

/// Parses user agents. Compiled rules take some 30 MB and a quarter of a second to make, so they
/// are compiled for the first text that is parsed, and dropped when [`UserAgents::rest`] finds them
/// unused.
pub struct UserAgents {
    text: std::borrow::Cow<'static, str>,
    /// Identifies the rules; stored with what they read.
    fingerprint: String,
    compiled: Arc<Mutex<Compiled>>,
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
    /// The file does not have the form of uap-core's `regexes.yaml`.
    #[error("{0}: {1}")]
    Parse(PathBuf, String),
}

impl UserAgents {
    /// The rules of a file, or the built-in ones. A file is compiled once, so that a mistake in it
    /// shows at the start.
    ///
    /// # Errors
    /// When the file cannot be read, is no regular file, or holds no rules.
    pub fn load(path: Option<&PathBuf>) -> Result<Self, RulesError> {
        let Some(path) = path else { return Ok(Self::new(BUILT_IN.into(), Arc::clone(&SHARED))) };
        let text = files::read_text(path).map_err(|error| RulesError::Read(path.clone(), error))?;
        compile(&text).map_err(|error| RulesError::Parse(path.clone(), error))?;
        Ok(Self::new(text.into(), Arc::default()))
    }

    fn new(text: std::borrow::Cow<'static, str>, compiled: Arc<Mutex<Compiled>>) -> Self {
        /// Counts changes of how rules are applied.
        const USE: &str = "2";
        let mut fingerprint = hex(&Sha256::new_with_prefix(USE).chain_update(text.as_bytes()).finalize());
        fingerprint.truncate(16);
        Self { text, fingerprint, compiled }
    }

    /// A text that identifies the rules and how they are applied. What other rules read is stale.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Reads the parts of a user agent. A family is `Other` where no rule matches, and other parts
    /// are `""` where the rule does not give them.
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

    /// Drops the compiled rules if they were not used since the last call.
    pub fn rest(&self) {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut compiled.was_used) {
            compiled.extractor = None;
        }
    }
}

/// Compiles rules. The `ua-parser` package makes long bounded repetitions unbounded, since they
/// cost memory. At the start of a rule the bound counts: it says how far into the text a name may
/// be, and without it what is behind a browser's own words is read as a crawler. A leading zero
/// keeps a bound as it is.
fn compile(text: &str) -> Result<Extractor<'static>, String> {
    let text = text.replace("^.{0,", "^.{00,").replace("^.{1,", "^.{01,");
    let regexes: Regexes<'static> = serde_yaml_ng::from_str(&text).map_err(|error| error.to_string())?;
    Extractor::try_from(regexes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_browser_and_rests() {
        // Compiled rules of its own: other tests use the shared ones.
        let agents = UserAgents::new(BUILT_IN.into(), Arc::default());
        let firefox = agents.parse("Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0");
        assert_eq!(firefox.browser.family, "Firefox");
        assert_eq!(firefox.browser.patch, "");
        agents.rest();
        agents.rest();
        assert!(agents.compiled.lock().unwrap().extractor.is_none());
        assert_eq!(agents.parse("").browser.family, "Other");
        assert_eq!(agents.fingerprint().len(), 16);
    }

    #[test]
    fn built_in_rules_are_compiled_once() {
        let [one, other] = [(); 2].map(|()| UserAgents::load(None).unwrap());
        assert!(Arc::ptr_eq(&one.extractor().unwrap(), &other.extractor().unwrap()));
    }

    #[test]
    fn bounds_at_the_start_of_a_rule_hold() {
        let agents = UserAgents::load(None).unwrap();
        let far = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10_1) AppleWebKit/600.2.5 (KHTML, like Gecko) Version/8.0.2 \
            Safari/600.2.5 (Applebot/0.1)";
        assert_eq!(agents.parse(far).device.family, "Mac", "the name is behind the first hundred characters");
        assert_eq!(agents.parse("Mozilla/5.0 (compatible; Applebot/0.1)").device.family, "Spider");
    }

    #[test]
    fn broken_rules_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "user_agent_parsers: 7").unwrap();
        assert!(UserAgents::load(Some(&file.path().to_owned())).is_err());
        assert!(UserAgents::load(Some(&PathBuf::from("/nowhere"))).is_err());
        let folder = tempfile::tempdir().unwrap();
        let error = UserAgents::load(Some(&folder.path().to_owned())).err().unwrap().to_string();
        assert!(error.ends_with("is a directory, not a regular file"), "{error}");
    }
}

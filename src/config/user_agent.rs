//! `[user_agent]`: how user agents are read.

use std::path::PathBuf;

use crate::config::kinds::PATH;
use crate::config::section::section;

section! {
    /// How browsers, systems and devices are told from a user agent.
    pub struct UserAgentConfig [user_agent] {
        /// A `regexes.yaml` of uap-core that is newer than the built-in one.
        ///
        /// It is read at start and at SIGHUP.
        rules: Option<PathBuf> = PATH, unset "built in", example "/etc/rollcall/regexes.yaml";
    }
}

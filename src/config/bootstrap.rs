//! `[bootstrap]`: what a start that finds no `akadmin` sets up.

use crate::config::kinds::SECRET;
use crate::config::secret::Secret;
use crate::config::section::section;

section! {
    /// What a start that finds no user `akadmin` sets up; better in the environment than in a file.
    pub struct BootstrapConfig [bootstrap] {
        /// The password of `akadmin`.
        password: Option<Secret> = SECRET, unset "none; a set-up link is printed", example "…";

        /// The key of an API token for `akadmin`.
        token: Option<Secret> = SECRET, unset "none", example "…";
    }
}

//! `[authentik]`: sessions that came from an authentik.

use crate::config::kinds::SECRET;
use crate::config::secret::Secret;
use crate::config::section::section;

section! {
    /// Sessions that were imported from an authentik.
    pub struct AuthentikConfig [authentik] {
        /// The secret key of that authentik, whose session cookies are then accepted.
        secret_key: Option<Secret> = SECRET, unset "none; its cookies are ignored", example "…";
    }
}

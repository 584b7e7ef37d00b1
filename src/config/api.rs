//! `[api]`: how the API reads requests.

use crate::config::kinds::BOOL;
use crate::config::section::section;

section! {
    /// How the API reads requests.
    pub struct ApiConfig [api] {
        /// Unknown query parameters of lists are errors; `false` ignores them, as authentik does.
        strict_query: bool = BOOL, default "false";
    }
}

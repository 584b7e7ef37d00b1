//! `[api]`: how the API reads requests, and how long its tokens live.

use std::time::Duration;

use crate::config::kinds::{BOOL, DURATION_ABOVE_ZERO};
use crate::config::section::section;

section! {
    /// How the API reads requests, and how long its tokens live.
    pub struct ApiConfig [api] {
        /// Unknown query parameters of lists are errors; `false` ignores them, as authentik does.
        strict_query: bool = BOOL, default "false";

        /// How long a token lives that is made through the API; app passwords at most.
        ///
        /// Each change of a token with the intent `api` begins the time anew. Tokens of the command line
        /// live as long as they are told to.
        token_lifetime: Duration = DURATION_ABOVE_ZERO, default "1d";

        /// Whether keys of tokens that are made through the API stay readable, for owners and administrators.
        ///
        /// They are sealed with the instance key. Without it they are readable for five minutes, since
        /// clients ask for a key right after they made the token.
        readable_secrets: bool = BOOL, default "false";
    }
}

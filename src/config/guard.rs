//! `[guard]`: how requests of reverse proxies are judged.

use std::time::Duration;

use crate::config::kinds::DURATION_ABOVE_ZERO;
use crate::config::section::section;

section! {
    /// How requests that reverse proxies ask about are judged (docs/guard.md).
    pub struct GuardConfig [guard] {
        /// How long a check may take before it is answered with 503, which lets nobody in.
        time_limit: Duration = DURATION_ABOVE_ZERO, default "2s";
    }
}

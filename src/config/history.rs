//! `[history]`: what is kept of sessions that ended, and of events.

use std::time::Duration;

use crate::config::kinds::DURATION;
use crate::config::section::section;

section! {
    /// What is kept of sessions that ended, and of events.
    pub struct HistoryConfig [history] {
        /// How long ended sessions are kept; 0: for ever.
        retention: Duration = DURATION, default "90d";

        /// How long events are kept; 0: for ever.
        event_retention: Duration = DURATION, default "365d";
    }
}

//! `[keys]`: the keys that sign what apps check by themselves.

use std::time::Duration;

use crate::config::kinds::DURATION;
use crate::config::section::section;

section! {
    /// The keys that sign what apps check by themselves: identities of a guard's requests.
    pub struct KeysConfig [keys] {
        /// How long a set of keys signs before the next one does; 0: until `rollcall key rotate`.
        ///
        /// The next set is published a day before it signs, so no set signs for less than a day.
        rotation: Duration = DURATION, default "90d";
    }
}

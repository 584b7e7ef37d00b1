//! `[safety]`: what keeps a client from doing more than was meant.

use crate::config::section::{Kind, section};

section! {
    /// What keeps a client from doing more than was meant.
    pub struct SafetyConfig [safety] {
        /// How many sessions of other users a token may end one by one in a minute; 0: any number.
        ///
        /// Any number of one user's sessions do not count. A client that lists all sessions, because its
        /// filter was lost, and ends each of them is stopped by it. `bulk_delete/` and `revoke/` are not
        /// counted, and neither are cookies and the command line.
        burst_sessions: u32 = NUMBER, default "10";
    }
}

const NUMBER: Kind<u32> =
    Kind::new("a whole number up to 10000", |text| text.parse().ok().filter(|number: &u32| *number <= 10_000));

//! Clients of OpenID Connect: their secrets, codes and tokens, and what users agreed to. Each code and each token
//! names one row of `session_rows`, and is read together with it, so what hangs on an ended session opens nothing.

pub mod codes;
pub mod consents;
pub mod device_codes;
pub mod load;
pub mod notice_queue;
pub mod notices;
pub mod opened;
pub mod secrets;
pub mod token_list;
pub mod tokens;

use crate::store::{Db, StoreError};

impl Db<'_> {
    /// Locks the row of a session until the transaction ends, as ends do before they take what hangs on it. Whether it is live
    /// is read afterwards.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_session_row(&self, session: i64) -> Result<(), StoreError> {
        self.lock_rows(&[session]).await.map(drop)
    }
}

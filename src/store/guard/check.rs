//! The statement of a check: whose key it is, whether the session is live, who its user is, and which version
//! the applications have. One round trip.

use crate::domain::{HashedSecret, Timestamp};
use crate::store::applications::people::{Subject, subject_columns};
use crate::store::applications::rows::{read_version, version_column};
use crate::store::sessions::rows::{LiveSession, select_live_for_app};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// Whose an app key is.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// The session.
    pub session: LiveSession,
    /// The hash of its own key.
    pub session_key: HashedSecret,
    /// The primary key of the app session.
    pub app_session_id: i64,
    /// When the app session was last used, as far as it was written.
    pub app_last_used_at: Timestamp,
    /// Its user.
    pub who: Subject,
    /// The version of the applications at that moment.
    pub version: i64,
}

impl FromRow for KeyHolder {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let session = LiveSession::from_row(row)?;
        let session_key = HashedSecret(row.bytes()?.try_into().map_err(|_| StoreError::Corrupt("the hash of a key"))?);
        let (app_session_id, app_last_used_at) = (row.int()?, row.timestamp()?);
        let version = read_version(row)?;
        let who = Subject::from_row(row)?;
        Ok(Self { session, session_key, app_session_id, app_last_used_at, who, version })
    }
}

/// The statement of a check.
macro_rules! select_key_holder {
    ($database:ident) => {
        select_live_for_app!(concat!(
            ", s.key_hash, k.app_session_id, o.last_used_at, ",
            version_column!(),
            ", ",
            subject_columns!($database),
            " FROM app_keys k JOIN app_sessions o ON o.id = k.app_session_id JOIN sessions s ON s.id = k.session_id ",
            "JOIN users u ON u.id = s.user_id ",
            "WHERE k.hash = $1 AND k.host = $2 AND o.application_id = $3 AND s.expires_at > $4 AND u.is_active"
        ))
    };
}

impl Db<'_> {
    /// What a key opens on this host of this application, while its session is live and its user is active. Every
    /// check makes it, and nothing of it is cached.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_key_holder(
        &self,
        key: HashedSecret,
        host: &str,
        application: i64,
        now: Timestamp,
    ) -> Result<Option<KeyHolder>, StoreError> {
        const SQLITE: &str = select_key_holder!(sqlite);
        const POSTGRES: &str = select_key_holder!(postgres);
        self.one(if self.is_sqlite() { SQLITE } else { POSTGRES }, &values![key, host, application, now]).await
    }
}

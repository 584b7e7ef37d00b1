//! The tokens that app sessions have, for those who look at a session.

use std::collections::HashMap;

use crate::domain::Timestamp;
use crate::store::db::statements::named;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A live token of an app session, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedToken {
    /// `access` or `refresh`.
    pub kind: String,
    /// Its scopes, separated by blanks.
    pub scope: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

struct OfAppSession(i64, OpenedToken);

impl FromRow for OfAppSession {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(row.int()?, OpenedToken { kind: row.text()?, scope: row.text()?, expires_at: row.timestamp()? }))
    }
}

impl Db<'_> {
    /// The tokens of these app sessions, by primary key, that are good now: refresh tokens first, each kind by its end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_opened_tokens(
        &self,
        app_sessions: &[i64],
        now: Timestamp,
    ) -> Result<HashMap<i64, Vec<OpenedToken>>, StoreError> {
        let mut found: HashMap<i64, Vec<OpenedToken>> = HashMap::new();
        for ids in app_sessions.chunks(100) {
            let mut values = values![now].to_vec();
            let these = named("app_session_id", &mut values, ids);
            let sql = format!(
                "SELECT app_session_id, kind, scope, expires_at FROM oidc_tokens WHERE {these} AND expires_at > $1 \
                 AND rotated_at IS NULL ORDER BY kind DESC, expires_at"
            );
            for OfAppSession(id, token) in self.all(&sql, &values).await? {
                found.entry(id).or_default().push(token);
            }
        }
        Ok(found)
    }
}

//! Codes: each is redeemed once, and stays while what it gave lives, so that a second use is recognised.

use uuid::Uuid;

use crate::domain::oidc::grant::Grant;
use crate::domain::session::SessionKind;
use crate::domain::{HashedSecret, SessionId, Timestamp};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A code, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRow {
    /// The primary key of its session; once it gave a session that the app keeps, of that one.
    pub session_id: i64,
    /// The client that it was given to, by the primary key of the provider.
    pub provider_id: i64,
    /// What was granted.
    pub grant: Grant,
    /// Until when it can be redeemed.
    pub expires_at: Timestamp,
    /// The family of the tokens that it gave; `None`: it gave none.
    pub family: Option<HashedSecret>,
    /// When it was used, with success or not.
    pub used_at: Option<Timestamp>,
}

impl FromRow for CodeRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (session_id, provider_id) = (row.int()?, row.int()?);
        let grant = serde_json::from_str(&row.text()?).map_err(|_| StoreError::Corrupt("the request of a code"))?;
        let (expires_at, used_at) = (row.timestamp()?, row.opt_int()?);
        let family = row.opt_bytes()?.map(|bytes| bytes.try_into().map(HashedSecret)).transpose();
        let family = family.map_err(|_| StoreError::Corrupt("the family of a code"))?;
        Ok(Self { session_id, provider_id, grant, expires_at, family, used_at: used_at.map(Timestamp) })
    }
}

impl Db<'_> {
    /// Adds a code under its hash.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its session or client is gone.
    pub async fn insert_code(
        &self,
        hash: HashedSecret,
        (session, provider): (i64, i64),
        grant: &Grant,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let request = serde_json::to_string(grant).map_err(|_| StoreError::Corrupt("a grant"))?;
        let sql = "INSERT INTO oidc_codes (hash, session_id, provider_id, request, expires_at) VALUES ($1, $2, $3, $4, $5)";
        self.execute(sql, &values![hash, session, provider, request, expires_at]).await.map(drop)
    }

    /// The code with this hash, used or not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_code(&self, hash: HashedSecret) -> Result<Option<CodeRow>, StoreError> {
        let sql = "SELECT session_id, provider_id, request, expires_at, used_at, family FROM oidc_codes WHERE hash = $1";
        self.one(sql, &values![hash]).await
    }

    /// Uses a code up for this family of tokens. Of concurrent calls, one gets `true`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_code(&self, hash: HashedSecret, family: HashedSecret, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE oidc_codes SET used_at = $2, family = $3 WHERE hash = $1 AND used_at IS NULL";
        Ok(self.execute(sql, &values![hash, now, family]).await? > 0)
    }

    /// Makes a code hang on the session that it gave, and live as long as that.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_code_session(&self, hash: HashedSecret, session: SessionId) -> Result<(), StoreError> {
        let sql = "UPDATE oidc_codes SET session_id = s.id FROM (SELECT id FROM session_rows WHERE uuid = $2) AS s WHERE hash = $1";
        self.execute(sql, &values![hash, session]).await.map(drop)
    }

    /// The session with this primary key, if an app keeps it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_offline_session(&self, session: i64) -> Result<Option<SessionId>, StoreError> {
        let sql = "SELECT uuid FROM session_rows WHERE id = $1 AND kind = $2";
        Ok(self.one::<Uuid>(sql, &values![session, SessionKind::Offline.as_str()]).await?.map(SessionId))
    }

    /// Whether the use of a code at this instant began the app session of its session and this application, and nothing but
    /// that code opened anything in it. Tokens that expired are gone; a code that was used stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_begun_by_code(
        &self,
        (hash, code): (HashedSecret, &CodeRow),
        application: i64,
        used_at: Timestamp,
    ) -> Result<bool, StoreError> {
        // The `+` keeps SQLite from the index of providers: a session has few codes, and a provider has very many.
        let sql = "SELECT o.id FROM app_sessions o WHERE o.session_id = $1 AND o.application_id = $2 AND o.created_at = $3 \
            AND o.hosts = '[]' AND NOT EXISTS (SELECT 1 FROM oidc_tokens t WHERE t.app_session_id = o.id) AND NOT EXISTS (\
            SELECT 1 FROM oidc_codes c WHERE c.session_id = $1 AND +c.provider_id = $4 AND c.hash <> $5 AND c.used_at >= $3)";
        let values = values![code.session_id, application, used_at, code.provider_id, hash];
        Ok(self.one::<i64>(sql, &values).await?.is_some())
    }

    /// Removes codes that expired by `now` and were never used, and gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_codes(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM oidc_codes WHERE expires_at <= $1 AND used_at IS NULL", &values![now]).await
    }
}

//! What users agreed to.

use crate::domain::oidc::consent::Consent;
use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A consent with its application, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentRow {
    /// The application's slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The scopes, separated by blanks.
    pub scope: String,
    /// When it was given.
    pub given_at: Timestamp,
}

impl FromRow for ConsentRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { slug: row.text()?, name: row.text()?, scope: row.text()?, given_at: row.timestamp()? })
    }
}

impl FromRow for Consent {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let scope = row.text()?;
        let terms = row.bytes()?.try_into().map_err(|_| StoreError::Corrupt("the terms of a consent"))?;
        Ok(Self { scope, terms: HashedSecret(terms), given_at: row.timestamp()? })
    }
}

impl Db<'_> {
    /// What a user agreed to for a client, by the primary key of its provider.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_consent(&self, user: UserId, provider: i64) -> Result<Option<Consent>, StoreError> {
        let sql = "SELECT scope, terms, given_at FROM consents WHERE user_id = $1 AND provider_id = $2";
        self.one(sql, &values![user, provider]).await
    }

    /// Notes what a user agreed to, if the question is newer than the last answer. Of concurrent calls, one gets `true`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the user or the client is gone.
    pub async fn update_consent(
        &self,
        (user, provider): (UserId, i64),
        consent: &Consent,
        asked_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO consents (user_id, provider_id, scope, terms, given_at) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (user_id, provider_id) DO UPDATE SET scope = excluded.scope, terms = excluded.terms, \
            given_at = excluded.given_at WHERE consents.given_at < $6";
        let values = values![user, provider, consent.scope.as_str(), consent.terms, consent.given_at, asked_at];
        Ok(self.execute(sql, &values).await? > 0)
    }

    /// Removes what a user agreed to for a client, and gives the scopes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_consent(&self, user: UserId, provider: i64) -> Result<Option<String>, StoreError> {
        let sql = "DELETE FROM consents WHERE user_id = $1 AND provider_id = $2 RETURNING scope";
        self.one(sql, &values![user, provider]).await
    }

    /// All that a user agreed to, by the names of the applications.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_consents(&self, user: UserId) -> Result<Vec<ConsentRow>, StoreError> {
        let sql = "SELECT a.slug, a.name, c.scope, c.given_at FROM consents c JOIN providers p ON p.id = c.provider_id \
            JOIN applications a ON a.id = p.application_id WHERE c.user_id = $1 ORDER BY lower(a.name), a.slug";
        self.all(sql, &values![user]).await
    }
}

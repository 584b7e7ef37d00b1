//! What users agreed to.

use crate::domain::oidc::consent::Consent;
use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::db::conditions::Conditions;
use crate::store::{Db, FromRow, Row, StoreError, Value};
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

/// Which consents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsentFilter {
    /// The one with this number.
    pub id: Option<i64>,
    /// Those of this user.
    pub user: Option<UserId>,
    /// Those for this application, by primary key.
    pub application: Option<i64>,
    /// Whose the caller may see; `None`: everybody's.
    pub visible_to: Option<UserId>,
}

/// A consent, for the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedConsent {
    /// Its number.
    pub id: i64,
    /// Who gave it.
    pub user_id: UserId,
    /// The application, by primary key.
    pub application_id: i64,
    /// The scopes, separated by blanks.
    pub scope: String,
}

impl FromRow for ListedConsent {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, user_id: UserId(row.int()?), application_id: row.int()?, scope: row.text()? })
    }
}

const TABLES: &str = "consents c JOIN providers p ON p.id = c.provider_id";

impl ConsentFilter {
    fn condition(&self, db: &Db<'_>) -> (String, Vec<Value>) {
        let mut it = Conditions::of(db);
        it.add("p.application_id IS NOT NULL");
        it.with("c.id = ?", self.id);
        it.with("p.application_id = ?", self.application);
        it.with("c.user_id = ?", self.user);
        it.with("c.user_id = ?", self.visible_to);
        it.into_parts()
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

    /// What users agreed to, the newest first; those after the first `skip`, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_all_consents(&self, filter: &ConsentFilter, skip: i64, limit: i64) -> Result<Vec<ListedConsent>, StoreError> {
        let (condition, mut values) = filter.condition(self);
        values.extend(values![limit, skip]);
        let (limit, skip) = (values.len() - 1, values.len());
        let columns = "c.id, c.user_id, p.application_id, c.scope";
        let sql = format!("SELECT {columns} FROM {TABLES} WHERE {condition} ORDER BY c.id DESC LIMIT ${limit} OFFSET ${skip}");
        self.all(&sql, &values).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_all_consents(&self, filter: &ConsentFilter) -> Result<i64, StoreError> {
        let (condition, values) = filter.condition(self);
        Ok(self.one::<i64>(&format!("SELECT count(*) FROM {TABLES} WHERE {condition}"), &values).await?.unwrap_or(0))
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

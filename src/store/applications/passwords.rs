//! App passwords: tokens that open applications, each with the applications it is for.

use std::collections::HashMap;

use crate::domain::user::TokenIntent;
use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::applications::rows::{read_version, version_column};
use crate::store::db::statements::in_list;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// The owner of an app password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPasswordOwner {
    /// The token's primary key.
    pub token_id: i64,
    /// What names the token.
    pub identifier: String,
    /// The user's primary key.
    pub user_id: UserId,
    /// The user's name.
    pub username: String,
    /// When the token was last used, as far as that was written.
    pub last_used_at: Option<Timestamp>,
    /// The version of the applications at that moment.
    pub version: i64,
}

impl FromRow for AppPasswordOwner {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            token_id: row.int()?,
            identifier: row.text()?,
            user_id: UserId(row.int()?),
            username: row.text()?,
            last_used_at: row.opt_int()?.map(Timestamp),
            version: read_version(row)?,
        })
    }
}

const OWNER: &str = concat!(
    "SELECT t.id, t.identifier, u.id, u.username, t.last_used_at, ",
    version_column!(),
    " FROM tokens t JOIN users u ON u.id = t.user_id JOIN token_applications x ON x.token_id = t.id \
    WHERE x.application_id = $1 AND t.intent = $2 AND u.is_active AND (NOT t.is_expiring OR t.expires_at > $3)"
);

impl Db<'_> {
    /// The active owner of the app password with this key, if it is for this application and has not expired. The key
    /// before the last rotation counts for as long as it was kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_app_password_owner(
        &self,
        key: HashedSecret,
        application: i64,
        now: Timestamp,
    ) -> Result<Option<AppPasswordOwner>, StoreError> {
        let values = values![application, TokenIntent::AppPassword.as_str(), now, key];
        let found = self.one(&format!("{OWNER} AND t.key_hash = $4"), &values).await?;
        match found {
            None => self.one(&format!("{OWNER} AND t.old_key_hash = $4 AND t.old_key_until > $3"), &values).await,
            found => Ok(found),
        }
    }

    /// Makes a token one for these applications, by primary key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of them is gone.
    pub async fn insert_token_applications(&self, token: uuid::Uuid, applications: &[i64]) -> Result<(), StoreError> {
        for application in applications {
            let sql = "INSERT INTO token_applications (token_id, application_id) \
                SELECT t.id, CAST($2 AS BIGINT) FROM tokens t WHERE t.uuid = $1 ON CONFLICT DO NOTHING";
            self.execute(sql, &values![token, *application]).await?;
        }
        Ok(())
    }

    /// Makes a token one for these applications, by primary key, and for no others.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of them is gone.
    pub async fn replace_token_applications(&self, token: uuid::Uuid, applications: &[i64]) -> Result<(), StoreError> {
        let sql = "DELETE FROM token_applications WHERE token_id = (SELECT t.id FROM tokens t WHERE t.uuid = $1)";
        self.execute(sql, &values![token]).await?;
        self.insert_token_applications(token, applications).await
    }

    /// The slugs of the applications that these tokens are for, by the tokens' primary keys. Tokens without any are left
    /// out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_applications_of_tokens(&self, tokens: &[i64]) -> Result<HashMap<i64, Vec<String>>, StoreError> {
        let mut all: HashMap<i64, Vec<String>> = HashMap::new();
        for tokens in tokens.chunks(500) {
            let (list, values) = in_list([], tokens.iter().copied());
            let sql = format!(
                "SELECT x.token_id, a.slug FROM token_applications x JOIN applications a ON a.id = x.application_id \
                 WHERE x.token_id IN ({list}) ORDER BY lower(a.slug)"
            );
            for (token, slug) in self.all::<(i64, String)>(&sql, &values).await? {
                all.entry(token).or_default().push(slug);
            }
        }
        Ok(all)
    }

    /// The slugs of the applications that a token is for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_token_applications(&self, identifier: &str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT a.slug FROM applications a JOIN token_applications x ON x.application_id = a.id \
            JOIN tokens t ON t.id = x.token_id WHERE t.identifier = $1 ORDER BY lower(a.slug)";
        self.all(sql, &values![identifier]).await
    }
}

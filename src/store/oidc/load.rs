//! App sessions of load data, many at a time: each as a code began it, with the refresh token that it has by now.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::application::Application;
use crate::domain::oidc::grant::Grant;
use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::db::statements::in_list;
use crate::store::oidc::tokens::REFRESH;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A session that app sessions are added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// Primary key.
    pub id: i64,
    /// Its user.
    pub user: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

impl FromRow for OpenSession {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            user: UserId(row.int()?),
            created_at: row.timestamp()?,
            last_used_at: row.timestamp()?,
            expires_at: row.timestamp()?,
        })
    }
}

/// An app session to add, with its code, which is used, and its refresh token.
#[derive(Clone, Debug)]
pub struct NewAppSession {
    /// What names it.
    pub uuid: Uuid,
    /// Its session.
    pub session: OpenSession,
    /// The application, which has a client.
    pub application: Arc<Application>,
    /// Who the app takes the user for.
    pub sub: String,
    /// When it began.
    pub created_at: Timestamp,
    /// What its code was given for.
    pub grant: Grant,
    /// The hashes of its code and of its refresh token.
    pub code: HashedSecret,
    /// See [`NewAppSession::code`].
    pub refresh: HashedSecret,
    /// The family of its tokens.
    pub family: HashedSecret,
}

impl NewAppSession {
    /// The client: its primary key, and what names it.
    fn client(&self) -> Result<(i64, &str), StoreError> {
        let part = self.application.client.as_ref().ok_or(StoreError::Corrupt("an application without its client"))?;
        Ok((part.id, part.client_id.as_str()))
    }
}

impl Db<'_> {
    /// The live sessions of these users, in the order of users.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_sessions_of_users(&self, users: &[UserId]) -> Result<Vec<OpenSession>, StoreError> {
        let (list, values) = in_list([], users.iter().copied());
        let sql = format!(
            "SELECT id, user_id, created_at, last_used_at, absolute_expires_at FROM sessions WHERE user_id IN ({list}) \
             ORDER BY user_id, uuid"
        );
        self.all(&sql, &values).await
    }

    /// Adds app sessions. Their tokens are good for as long as their sessions.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a session has an application already, or one of both is gone.
    pub async fn insert_app_sessions(&self, made: &[NewAppSession]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(made.len());
        for it in made {
            let (_, client_id) = it.client()?;
            let Application { id, slug, name, .. } = &*it.application;
            let (began, used) = (it.created_at, it.session.last_used_at);
            rows.push(values![it.uuid, it.session.id, *id, slug, name, "[]", client_id, it.sub.as_str(), began, used].to_vec());
        }
        let sql = "INSERT INTO app_sessions (uuid, session_id, application_id, slug, name, hosts, client_id, sub, created_at, \
            last_used_at) VALUES ";
        let ids = self.insert_rows_returning::<(Uuid, i64)>(sql, rows, " RETURNING uuid, id").await?;
        let ids: HashMap<Uuid, i64> = ids.into_iter().collect();
        let (mut codes, mut tokens) = (Vec::with_capacity(made.len()), Vec::with_capacity(made.len()));
        for it in made {
            let (client, _) = it.client()?;
            let id = *ids.get(&it.uuid).ok_or(StoreError::Corrupt("an app session without a key"))?;
            let request = serde_json::to_string(&it.grant).map_err(|_| StoreError::Corrupt("a grant"))?;
            let proof = serde_json::to_string(&it.grant.proof).map_err(|_| StoreError::Corrupt("a proof"))?;
            let (session, began, until) = (it.session.id, it.created_at, it.session.expires_at);
            codes.push(values![it.code, session, client, request, began, began, it.family].to_vec());
            let (scope, first) = (it.grant.scope.as_str(), 1_i64);
            tokens.push(values![it.refresh, REFRESH, id, session, client, it.family, first, scope, proof, began, until].to_vec());
        }
        let sql = "INSERT INTO oidc_codes (hash, session_id, provider_id, request, expires_at, used_at, family) VALUES ";
        self.insert_rows(sql, codes, "").await?;
        let sql = "INSERT INTO oidc_tokens (hash, kind, app_session_id, session_id, provider_id, family, generation, scope, proof, \
            created_at, expires_at) VALUES ";
        self.insert_rows(sql, tokens, "").await
    }
}

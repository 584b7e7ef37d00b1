//! Access tokens and refresh tokens.

use crate::domain::oidc::grant::Proof;
use crate::domain::{HashedSecret, Timestamp};
use crate::store::applications::people::{Subject, subject_columns};
use crate::store::applications::rows::{read_version, version_column};
use crate::store::sessions::rows::{LiveSession, select_live_for_app};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A token to add.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Its hash.
    pub hash: HashedSecret,
    /// Whether it is a refresh token.
    pub is_refresh: bool,
    /// The app session that it is part of.
    pub app_session_id: i64,
    /// The session of that.
    pub session_id: i64,
    /// The client, by the primary key of the provider.
    pub provider_id: i64,
    /// The family.
    pub family: HashedSecret,
    /// Of a refresh token: its number in the family.
    pub generation: i64,
    /// Its scopes, separated by blanks.
    pub scope: &'a str,
    /// What the session had proved.
    pub proof: &'a Proof,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// A refresh token, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRow {
    /// The app session that it is part of.
    pub app_session_id: i64,
    /// The session of that.
    pub session_id: i64,
    /// The client, by the primary key of the provider.
    pub provider_id: i64,
    /// Its number in the family.
    pub generation: i64,
    /// Its scopes.
    pub scope: String,
    /// What the session had proved.
    pub proof: Proof,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// When it was rotated.
    pub rotated_at: Option<Timestamp>,
    /// Its successor, sealed for its holder.
    pub successor: Option<Vec<u8>>,
}

const REFRESH_COLUMNS: &str =
    "app_session_id, session_id, provider_id, generation, scope, proof, expires_at, rotated_at, successor";

/// What a session had proved, as it is stored.
pub(super) fn proof(json: &str) -> Result<Proof, StoreError> {
    serde_json::from_str(json).map_err(|_| StoreError::Corrupt("the proof of a token"))
}

impl FromRow for RefreshRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            app_session_id: row.int()?,
            session_id: row.int()?,
            provider_id: row.int()?,
            generation: row.int()?,
            scope: row.text()?,
            proof: proof(&row.text()?)?,
            expires_at: row.timestamp()?,
            rotated_at: row.opt_int()?.map(Timestamp),
            successor: row.opt_bytes()?,
        })
    }
}

/// A token whose session is live.
#[derive(Clone, Debug)]
pub struct TokenHolder {
    /// Its number.
    pub id: i64,
    /// The session.
    pub session: LiveSession,
    /// The app session.
    pub app_session_id: i64,
    /// The application, by primary key.
    pub application_id: i64,
    /// The client, by the primary key of the provider.
    pub provider_id: i64,
    /// Who the app takes the user for.
    pub sub: String,
    /// Its scopes.
    pub scope: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Whether it is a refresh token.
    pub is_refresh: bool,
}

impl FromRow for TokenHolder {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            session: LiveSession::from_row(row)?,
            id: row.int()?,
            app_session_id: row.int()?,
            application_id: row.int()?,
            provider_id: row.int()?,
            sub: row.text()?,
            scope: row.text()?,
            created_at: row.timestamp()?,
            expires_at: row.timestamp()?,
            is_refresh: row.text()? == REFRESH,
        })
    }
}

/// The statements of a token, with the columns `$more` after those of a [`TokenHolder`].
macro_rules! select_holder {
    ($more:expr) => {
        select_live_for_app!(concat!(
            ", t.id, t.app_session_id, o.application_id, t.provider_id, o.sub, t.scope, t.created_at, t.expires_at, t.kind",
            $more,
            " FROM oidc_tokens t JOIN app_sessions o ON o.id = t.app_session_id JOIN sessions s ON s.id = t.session_id ",
            "JOIN users u ON u.id = s.user_id ",
            "WHERE t.hash = $1 AND t.expires_at > $2 AND t.rotated_at IS NULL AND s.expires_at > $2 AND u.is_active"
        ))
    };
}

/// A token whose session is live, and its user.
#[derive(Clone, Debug)]
pub struct TokenReader {
    /// The token.
    pub holder: TokenHolder,
    /// Its user.
    pub subject: Subject,
    /// The version of the applications at that moment.
    pub version: i64,
}

impl FromRow for TokenReader {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (holder, subject) = (TokenHolder::from_row(row)?, Subject::from_row(row)?);
        Ok(Self { holder, subject, version: read_version(row)? })
    }
}

/// What an access token is called in `oidc_tokens.kind`.
pub(super) const ACCESS: &str = "access";
/// And a refresh token.
pub(super) const REFRESH: &str = "refresh";

impl Db<'_> {
    /// Adds a token.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its app session is gone.
    pub async fn insert_token_of_app(&self, token: &NewToken<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO oidc_tokens (hash, kind, app_session_id, session_id, provider_id, family, generation, scope, proof, \
            created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let proof = serde_json::to_string(token.proof).map_err(|_| StoreError::Corrupt("a proof"))?;
        let kind = if token.is_refresh { REFRESH } else { ACCESS };
        let values = values![
            token.hash,
            kind,
            token.app_session_id,
            token.session_id,
            token.provider_id,
            token.family,
            token.generation,
            token.scope,
            proof,
            token.created_at,
            token.expires_at,
        ];
        self.execute(sql, &values).await.map(drop)
    }

    /// The token with this hash, while it is good, its session is live and its user is active.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_token_holder(&self, hash: HashedSecret, now: Timestamp) -> Result<Option<TokenHolder>, StoreError> {
        const SQL: &str = select_holder!("");
        self.one(SQL, &values![hash, now]).await
    }

    /// The same with its user and the version of the applications, in one statement: all that userinfo tells.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_token_reader(&self, hash: HashedSecret, now: Timestamp) -> Result<Option<TokenReader>, StoreError> {
        const SQLITE: &str = select_holder!(concat!(", ", subject_columns!(sqlite), ", ", version_column!()));
        const POSTGRES: &str = select_holder!(concat!(", ", subject_columns!(postgres), ", ", version_column!()));
        self.one(if self.is_sqlite() { SQLITE } else { POSTGRES }, &values![hash, now]).await
    }

    /// The refresh token with this hash, rotated or not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_refresh_token(&self, hash: HashedSecret) -> Result<Option<RefreshRow>, StoreError> {
        let sql = format!("SELECT {REFRESH_COLUMNS} FROM oidc_tokens WHERE hash = $1 AND kind = $2");
        self.one(&sql, &values![hash, REFRESH]).await
    }

    /// The newest refresh token of a family.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_newest_refresh_token(&self, family: HashedSecret) -> Result<Option<RefreshRow>, StoreError> {
        let sql =
            format!("SELECT {REFRESH_COLUMNS} FROM oidc_tokens WHERE family = $1 AND kind = $2 ORDER BY generation DESC LIMIT 1");
        self.one(&sql, &values![family, REFRESH]).await
    }

    /// Notes that a refresh token was rotated, with its successor, and removes those before it. Of concurrent calls, one gets
    /// `true`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rotate_refresh_token(
        &self,
        hash: HashedSecret,
        (family, generation): (HashedSecret, i64),
        successor: Vec<u8>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE oidc_tokens SET rotated_at = $2, successor = $3 WHERE hash = $1 AND kind = $4 AND rotated_at IS NULL";
        if self.execute(sql, &values![hash, now, successor, REFRESH]).await? == 0 {
            return Ok(false);
        }
        let sql = "DELETE FROM oidc_tokens WHERE family = $1 AND kind = $2 AND generation < $3";
        self.execute(sql, &values![family, REFRESH, generation]).await?;
        Ok(true)
    }

    /// Removes a token.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_token_of_app(&self, hash: HashedSecret) -> Result<u64, StoreError> {
        self.execute("DELETE FROM oidc_tokens WHERE hash = $1", &values![hash]).await
    }

    /// Removes all tokens of a family; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_family(&self, family: HashedSecret) -> Result<u64, StoreError> {
        self.execute("DELETE FROM oidc_tokens WHERE family = $1", &values![family]).await
    }

    /// Removes tokens that expired by `now`, and gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_tokens_of_apps(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM oidc_tokens WHERE expires_at <= $1", &values![now]).await
    }
}

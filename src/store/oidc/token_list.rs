//! Lists of tokens, of live sessions.

use crate::domain::oidc::grant::Proof;
use crate::domain::{HashedSecret, SessionId, Timestamp, UserId};
use crate::store::db::conditions::Conditions;
use crate::store::oidc::tokens::{ACCESS, REFRESH, proof};
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// Which tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Refresh tokens, else access tokens.
    pub is_refresh: bool,
    /// The one with this number.
    pub id: Option<i64>,
    /// Those of this client, by the primary key of the provider.
    pub provider: Option<i64>,
    /// Those of this user.
    pub user: Option<UserId>,
    /// Whose the caller may see; `None`: everybody's.
    pub visible_to: Option<UserId>,
}

/// A token, without what opens anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedToken {
    /// Its number.
    pub id: i64,
    /// Its hash.
    pub hash: HashedSecret,
    /// Its family.
    pub family: HashedSecret,
    /// The session.
    pub session: SessionId,
    /// The session's user.
    pub user_id: UserId,
    /// The application, by primary key.
    pub application_id: i64,
    /// The client, by the primary key of the provider.
    pub provider_id: i64,
    /// Who the app takes the user for.
    pub sub: String,
    /// Its scopes, separated by blanks.
    pub scope: String,
    /// What the session had proved.
    pub proof: Proof,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl FromRow for ListedToken {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let id = row.int()?;
        let mut hash = || row.bytes()?.try_into().map(HashedSecret).map_err(|_| StoreError::Corrupt("the hash of a token"));
        let (hash, family) = (hash()?, hash()?);
        Ok(Self {
            id,
            hash,
            family,
            session: SessionId(row.uuid()?),
            user_id: UserId(row.int()?),
            application_id: row.int()?,
            provider_id: row.int()?,
            sub: row.text()?,
            scope: row.text()?,
            proof: proof(&row.text()?)?,
            created_at: row.timestamp()?,
            expires_at: row.timestamp()?,
        })
    }
}

const COLUMNS: &str = "t.id, t.hash, t.family, s.uuid, s.user_id, o.application_id, t.provider_id, o.sub, t.scope, t.proof, \
    t.created_at, t.expires_at";
impl TokenFilter {
    /// What is asked of the tokens alone, `t`.
    fn of_tokens(&self, db: &Db<'_>) -> Conditions {
        let mut it = Conditions::of(db);
        it.with("t.kind = ?", Some(if self.is_refresh { REFRESH } else { ACCESS }));
        it.add("t.rotated_at IS NULL");
        it.with("t.id = ?", self.id);
        // Of a user's tokens, the `+` keeps SQLite from the index of providers.
        it.with(if self.is_of_user() { "+t.provider_id = ?" } else { "t.provider_id = ?" }, self.provider);
        it
    }

    fn condition(&self, db: &Db<'_>) -> (String, Vec<Value>) {
        let mut it = self.of_tokens(db);
        it.with("s.user_id = ?", self.user);
        it.with("s.user_id = ?", self.visible_to);
        it.add("t.session_id = s.id");
        it.into_parts()
    }

    fn is_of_user(&self) -> bool {
        self.user.is_some() || self.visible_to.is_some()
    }

    /// The tables: `t` the token, `o` its app session, `s` its session. SQLite keeps to the order of a CROSS JOIN: of a user
    /// it reads the few sessions first. Else it would go through all tokens of a provider.
    fn tables(&self) -> &'static str {
        if self.is_of_user() {
            "sessions s CROSS JOIN oidc_tokens t JOIN app_sessions o ON o.id = t.app_session_id"
        } else {
            "oidc_tokens t JOIN sessions s ON s.id = t.session_id JOIN app_sessions o ON o.id = t.app_session_id"
        }
    }
}

impl Db<'_> {
    /// Tokens of live sessions, the newest first; those after the first `skip`, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_tokens_of_apps(&self, filter: &TokenFilter, skip: i64, limit: i64) -> Result<Vec<ListedToken>, StoreError> {
        let (condition, mut values) = filter.condition(self);
        values.extend(values![limit, skip]);
        let (limit, skip) = (values.len() - 1, values.len());
        let sql =
            format!("SELECT {COLUMNS} FROM {} WHERE {condition} ORDER BY t.id DESC LIMIT ${limit} OFFSET ${skip}", filter.tables());
        self.all(&sql, &values).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_tokens_of_apps(&self, filter: &TokenFilter) -> Result<i64, StoreError> {
        if !filter.is_of_user() {
            let (condition, values) = filter.of_tokens(self).into_parts();
            return self.count_of_sessions(("oidc_tokens t", "t.session_id"), (&condition, &values)).await;
        }
        let (condition, values) = filter.condition(self);
        let sql = format!("SELECT count(*) FROM {} WHERE {condition}", filter.tables());
        Ok(self.one::<i64>(&sql, &values).await?.unwrap_or(0))
    }
}

//! Tokens as lists show them, and changes of what is said about them.

use uuid::Uuid;

use crate::domain::listing::Sort;
use crate::domain::page::{Found, Wanted};
use crate::domain::scope::Scopes;
use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::lists::Listed;
use crate::store::{Db, FromRow, Row, Store, StoreError, Value};
use crate::values;

/// A token with all that is known of it but its key.
#[derive(Clone)]
pub struct TokenDetail {
    /// Primary key.
    pub id: i64,
    /// What events name it by.
    pub uuid: Uuid,
    /// What names it; unique.
    pub identifier: String,
    /// What made it; `None`: people.
    pub managed: Option<String>,
    /// What it opens.
    pub intent: String,
    /// Whose it is.
    pub user_id: UserId,
    /// The name of its owner.
    pub username: String,
    /// What it is for, in its maker's words.
    pub description: String,
    /// Whether `expires_at` counts.
    pub is_expiring: bool,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to five minutes.
    pub last_used_at: Option<Timestamp>,
    /// What it may do of what its owner may.
    pub scopes: Scopes,
    /// Its key, sealed, where it can be read again.
    pub sealed_key: Option<Vec<u8>>,
    /// Until when; `None`: for good.
    pub sealed_until: Option<Timestamp>,
    /// Until when the key before the last rotation opens the same.
    pub old_key_until: Option<Timestamp>,
}

/// What a token is for, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    intent: String,
    ends_at: Option<Timestamp>,
}

impl TokenDetail {
    /// When it ends; `None`: never.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        Some(self.expires_at).filter(|_| self.is_expiring)
    }

    /// What it is for, and when it ends.
    #[must_use]
    pub fn term(&self) -> Term {
        Term { intent: self.intent.clone(), ends_at: self.ends_at() }
    }
}

impl std::fmt::Debug for TokenDetail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenDetail").field("identifier", &self.identifier).finish_non_exhaustive()
    }
}

const COLUMNS: &str = "t.id, t.uuid, t.identifier, t.managed, t.intent, t.user_id, u.username, t.description, t.is_expiring, \
    t.expires_at, t.created_at, t.last_used_at, t.scopes, t.sealed_key, t.sealed_until, t.old_key_until";

impl FromRow for TokenDetail {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: row.uuid()?,
            identifier: row.text()?,
            managed: row.opt_text()?,
            intent: row.text()?,
            user_id: UserId(row.int()?),
            username: row.text()?,
            description: row.text()?,
            is_expiring: row.bool()?,
            expires_at: row.timestamp()?,
            created_at: row.timestamp()?,
            last_used_at: row.opt_int()?.map(Timestamp),
            scopes: Scopes::from_stored(&row.text()?),
            sealed_key: row.opt_bytes()?,
            sealed_until: row.opt_int()?.map(Timestamp),
            old_key_until: row.opt_int()?.map(Timestamp),
        })
    }
}

/// Which tokens. All that is given applies together; expired ones are tokens like all others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenFilter {
    /// Only this user's: what the caller may see.
    pub visible_to: Option<UserId>,
    /// Of this user.
    pub user: Option<UserId>,
    /// The identifier, exactly.
    pub identifier: Option<String>,
    /// The intent, exactly.
    pub intent: Option<String>,
    /// The name of its owner, exactly.
    pub username: Option<String>,
    /// The description, exactly.
    pub description: Option<String>,
    /// What made it, exactly.
    pub managed: Option<String>,
    /// Whether it ends at all.
    pub is_expiring: Option<bool>,
    /// Ends at this instant.
    pub expires: Option<Timestamp>,
    /// Ends at this instant or later.
    pub expires_from: Option<Timestamp>,
    /// Ends at this instant or earlier.
    pub expires_to: Option<Timestamp>,
    /// Folded terms, each of which must be part of the identifier, the intent, the owner's name or the description.
    pub search: Vec<String>,
}

/// What tokens can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSortKey {
    /// The uuid.
    Uuid,
    /// The identifier.
    Identifier,
    /// The intent.
    Intent,
    /// The owner's primary key.
    User,
    /// The description.
    Description,
    /// When it ends; upwards those that never do come first.
    Expires,
    /// Whether it ends at all.
    Expiring,
    /// What made it.
    Managed,
    /// When it was last used.
    LastUsed,
}

impl TokenSortKey {
    fn column(self) -> &'static str {
        match self {
            Self::Uuid => "t.uuid",
            Self::Identifier => "t.identifier",
            Self::Intent => "t.intent",
            Self::User => "t.user_id",
            Self::Description => "t.description",
            Self::Expires => "CASE WHEN t.is_expiring THEN t.expires_at ELSE -9223372036854775807 END",
            Self::Expiring => "t.is_expiring",
            Self::Managed => "COALESCE(t.managed, '')",
            Self::LastUsed => "COALESCE(t.last_used_at, 0)",
        }
    }
}

impl TokenFilter {
    /// The `WHERE` clause on tokens `t` and their users `u`, and its values. The search is not in it.
    fn condition(&self) -> (String, Vec<Value>) {
        let conditions: [(&str, Option<Value>); 11] = [
            ("t.user_id =", self.visible_to.map(Into::into)),
            ("t.user_id =", self.user.map(Into::into)),
            ("t.identifier =", self.identifier.as_ref().map(Into::into)),
            ("t.intent =", self.intent.as_ref().map(Into::into)),
            ("u.username =", self.username.as_ref().map(Into::into)),
            ("t.description =", self.description.as_ref().map(Into::into)),
            ("t.managed =", self.managed.as_ref().map(Into::into)),
            ("t.is_expiring =", self.is_expiring.map(Into::into)),
            ("t.is_expiring AND t.expires_at =", self.expires.map(Into::into)),
            ("t.is_expiring AND t.expires_at >=", self.expires_from.map(Into::into)),
            ("t.is_expiring AND t.expires_at <=", self.expires_to.map(Into::into)),
        ];
        let (mut all, mut values) = (Vec::new(), Vec::new());
        for (condition, value) in conditions {
            let Some(value) = value else { continue };
            values.push(value);
            all.push(format!("{condition} ${}", values.len()));
        }
        (if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }, values)
    }

    fn has_all(&self, token: &TokenDetail) -> bool {
        let texts =
            [&token.identifier, &token.intent, &token.username, &token.description].map(|text| crate::domain::fold::fold(text));
        self.search.iter().all(|term| texts.iter().any(|text| text.contains(term)))
    }
}

impl Listed for TokenFilter {
    type Key = TokenSortKey;
    type Row = TokenDetail;

    async fn find(&self, store: &Store, order: &[Sort<TokenSortKey>], wanted: Wanted) -> Result<Found<TokenDetail>, StoreError> {
        let (filter, order) = (self.clone(), order.to_vec());
        let read = store.long_read(move |db| {
            Box::pin(async move {
                let (condition, mut values) = filter.condition();
                let by =
                    |sort: &Sort<TokenSortKey>| format!("{}{}", sort.key.column(), if sort.is_descending { " DESC" } else { "" });
                let order: Vec<String> = order.iter().map(by).chain(["t.id".to_owned()]).collect();
                let from = format!("FROM tokens t JOIN users u ON u.id = t.user_id{condition}");
                let sorted = format!("SELECT {COLUMNS} {from} ORDER BY {}", order.join(", "));
                if !filter.search.is_empty() {
                    // There are few tokens, and no index that finds a part of a text.
                    let all: Vec<TokenDetail> = db.all(&sorted, &values).await?;
                    let hits: Vec<TokenDetail> = all.into_iter().filter(|token| filter.has_all(token)).collect();
                    let count = i64::try_from(hits.len()).unwrap_or(i64::MAX);
                    let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
                    let (skip, take) = (usize::try_from(window.offset).unwrap_or(0), usize::try_from(window.limit).unwrap_or(0));
                    return Ok(wanted.found(count, hits.into_iter().skip(skip).take(take).collect()));
                }
                let count: i64 = db.one(&format!("SELECT count(*) {from}"), &values).await?.unwrap_or(0);
                let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
                let next = values.len() + 1;
                values.extend(values![window.limit, window.offset]);
                let sql = format!("{sorted} LIMIT ${next} OFFSET ${}", next + 1);
                Ok(wanted.found(count, db.all(&sql, &values).await?))
            })
        });
        read.await
    }
}

impl Db<'_> {
    /// The token of that identifier.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_token(&self, identifier: &str) -> Result<Option<TokenDetail>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.identifier = $1");
        self.one(&sql, &values![identifier]).await
    }

    /// The same, locked until the transaction ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_token(&self, identifier: &str) -> Result<Option<TokenDetail>, StoreError> {
        let sql = format!("SELECT id FROM tokens WHERE identifier = $1{}", self.for_update());
        match self.one::<i64>(&sql, &values![identifier]).await? {
            Some(_) => self.find_token(identifier).await,
            None => Ok(None),
        }
    }

    /// All tokens of a user, by identifier.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_tokens_of(&self, user: UserId) -> Result<Vec<TokenDetail>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.user_id = $1 ORDER BY t.identifier");
        self.all(&sql, &values![user]).await
    }

    /// Writes what is said about a token that is [locked](Db::lock_token), and what it may do. Gives whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the identifier is taken.
    pub async fn update_token(&self, token: &TokenDetail, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE tokens SET identifier = $2, description = $3, intent = $4, is_expiring = $5, expires_at = $6, scopes = $7, \
            updated_at = $8 WHERE uuid = $1";
        let values = values![
            token.uuid,
            token.identifier.as_str(),
            token.description.as_str(),
            token.intent.as_str(),
            token.is_expiring,
            token.expires_at,
            token.scopes.to_string(),
            now,
        ];
        Ok(self.execute(sql, &values).await? > 0)
    }

    /// Writes what a token may do.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_token_scopes(&self, token: Uuid, scopes: &Scopes) -> Result<(), StoreError> {
        self.execute("UPDATE tokens SET scopes = $2 WHERE uuid = $1", &values![token, scopes.to_string()]).await.map(drop)
    }

    /// Keeps a token's sealed key until then, or for good; or keeps none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_token_sealed(
        &self,
        token: Uuid,
        sealed: Option<Vec<u8>>,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET sealed_key = $2, sealed_until = $3 WHERE uuid = $1";
        self.execute(sql, &values![token, sealed, until]).await.map(drop)
    }

    /// Gives a token another key. The one before opens the same until `old_until`; without it, nothing. A sealed key goes.
    /// Gives whether the token was there.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another token has the key.
    pub async fn update_token_key(
        &self,
        token: Uuid,
        key: HashedSecret,
        old_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE tokens SET old_key_hash = CASE WHEN $3 THEN key_hash END, old_key_until = $4, key_hash = $2, \
            sealed_key = NULL, sealed_until = NULL, updated_at = $5 WHERE uuid = $1";
        Ok(self.execute(sql, &values![token, key, old_until.is_some(), old_until, now]).await? > 0)
    }

    /// Writes when a token was last used.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_token_used(&self, token: i64, now: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE tokens SET last_used_at = $2 WHERE id = $1", &values![token, now]).await.map(drop)
    }

    /// Removes sealed keys and old keys whose time is over. Gives how many tokens had one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn clear_token_keys(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sealed = "UPDATE tokens SET sealed_key = NULL, sealed_until = NULL WHERE sealed_until <= $1";
        let old =
            "UPDATE tokens SET old_key_hash = NULL, old_key_until = NULL WHERE old_key_hash IS NOT NULL AND old_key_until <= $1";
        Ok(self.execute(sealed, &values![now]).await? + self.execute(old, &values![now]).await?)
    }
}

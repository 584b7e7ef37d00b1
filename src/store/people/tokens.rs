//! Tokens: API credentials and single-use links. Only their hashes are stored.

use std::time::Instant;
use uuid::Uuid;

use crate::domain::clock::AHEAD;
use crate::domain::scope::Scopes;
use crate::domain::user::TokenIntent;
use crate::domain::{Generation, HashedSecret, Timestamp, UserId, secret};
use crate::store::people::users::{Rights, no_randomness, rights_columns};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A token as listed; its key is not known any more.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// What names it; unique.
    pub identifier: String,
    /// What it is for, in its maker's words.
    pub description: String,
    /// What it opens.
    pub intent: String,
    /// Whose it is.
    pub username: String,
    /// Whether `expires_at` counts.
    pub is_expiring: bool,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

impl FromRow for TokenRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            identifier: row.text()?,
            description: row.text()?,
            intent: row.text()?,
            username: row.text()?,
            is_expiring: row.bool()?,
            expires_at: row.timestamp()?,
            created_at: row.timestamp()?,
        })
    }
}

/// A token to add.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The hash of its key.
    pub key_hash: HashedSecret,
    /// See [`TokenRow::identifier`].
    pub identifier: String,
    /// See [`TokenRow::description`].
    pub description: String,
    /// What it opens.
    pub intent: TokenIntent,
    /// Whose it is.
    pub user: UserId,
    /// When it ends; the flag says whether that counts.
    pub expires: (bool, Timestamp),
    /// For a link: the generation of its user's credentials that it was made for. A link without one opens nothing.
    pub generation: Option<Generation>,
}

/// A set-up or recovery link, as stored.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Whose password it sets.
    pub user: UserId,
    /// The generation of their credentials that it was made for; `None` equals no user's.
    pub generation: Option<Generation>,
}

impl FromRow for Link {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (user, generation) = (UserId(row.int()?), row.opt_bytes()?);
        Ok(Self { user, generation: generation.as_deref().and_then(Generation::from_stored) })
    }
}

/// Which links are good: those that have not ended, and were not made by a clock that was ahead of this one.
const IS_GOOD_LINK: &str = "key_hash = $1 AND intent = $2 AND (NOT is_expiring OR expires_at > $3) AND created_at <= $4";

/// The owner of a token that opens something, found by its key; and the token.
#[derive(Clone, Debug)]
pub struct TokenOwner {
    /// The token's primary key.
    pub token_id: i64,
    /// What names the token.
    pub identifier: String,
    /// What the token may do of what its owner may.
    pub scopes: Scopes,
    /// When the token was last used, as far as that was written.
    pub last_used_at: Option<Timestamp>,
    /// Primary key.
    pub user_id: UserId,
    /// Name.
    pub username: String,
    /// What they may do.
    pub rights: Rights,
}

impl FromRow for TokenOwner {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            token_id: row.int()?,
            identifier: row.text()?,
            scopes: Scopes::from_stored(&row.text()?),
            last_used_at: row.opt_int()?.map(Timestamp),
            user_id: UserId(row.int()?),
            username: row.text()?,
            rights: Rights::from_row(row)?,
        })
    }
}

/// An owner, and the newest position of the log of changes.
struct Looked(TokenOwner, Option<i64>);

impl FromRow for Looked {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(TokenOwner::from_row(row)?, row.opt_int()?))
    }
}

impl Db<'_> {
    /// Who owns the token with this key, if it has that intent, has not expired and its user is active.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_token_owner(
        &self,
        key: HashedSecret,
        intent: TokenIntent,
        now: Timestamp,
    ) -> Result<Option<TokenOwner>, StoreError> {
        const SQL: &str = concat!(
            "SELECT t.id, t.identifier, t.scopes, t.last_used_at, u.id, u.username, ",
            rights_columns!(),
            // Most requests with a token ask for lists, which memory answers only when it has read the log so far.
            ", (SELECT max(seq) FROM session_changes)",
            " FROM tokens t JOIN users u ON u.id = t.user_id ",
            "WHERE t.key_hash = $1 AND t.intent = $2 AND u.is_active AND (NOT t.is_expiring OR t.expires_at > $3)"
        );
        // The key before the last rotation, which is looked for when the newer one is not found.
        const OLD: &str = concat!(
            "SELECT t.id, t.identifier, t.scopes, t.last_used_at, u.id, u.username, ",
            rights_columns!(),
            ", (SELECT max(seq) FROM session_changes)",
            " FROM tokens t JOIN users u ON u.id = t.user_id ",
            "WHERE t.old_key_hash = $1 AND t.old_key_until > $3 AND t.intent = $2 AND u.is_active ",
            "AND (NOT t.is_expiring OR t.expires_at > $3)"
        );
        let (began, values) = (Instant::now(), values![key, intent.as_str(), now]);
        let looked = match self.one(SQL, &values).await? {
            None => self.one(OLD, &values).await?,
            found => found,
        };
        let Some(Looked(owner, last_change)) = looked else { return Ok(None) };
        if let (Some(last), Some(seen)) = (last_change, self.seen_log()) {
            seen.note(last, began);
        }
        Ok(Some(owner))
    }

    /// The set-up or recovery link with this key, if it has not ended. It stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_link(&self, key: HashedSecret, now: Timestamp) -> Result<Option<Link>, StoreError> {
        let sql = format!("SELECT user_id, generation FROM tokens WHERE {IS_GOOD_LINK}");
        self.one(&sql, &values![key, TokenIntent::Recovery.as_str(), now, now.plus(AHEAD)]).await
    }

    /// Removes the same link and gives it. Of several concurrent calls one gets it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_link(&self, key: HashedSecret, now: Timestamp) -> Result<Option<Link>, StoreError> {
        let sql = format!("DELETE FROM tokens WHERE {IS_GOOD_LINK} RETURNING user_id, generation");
        self.one(&sql, &values![key, TokenIntent::Recovery.as_str(), now, now.plus(AHEAD)]).await
    }

    /// Adds a token and gives its uuid.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the identifier or the key is taken, or there is no such user.
    pub async fn insert_token(&self, token: &NewToken, now: Timestamp) -> Result<Uuid, StoreError> {
        let uuid = secret::random_uuid().map_err(no_randomness)?;
        let sql = "INSERT INTO tokens (uuid, key_hash, identifier, description, intent, user_id, is_expiring, expires_at, created_at, \
            generation) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let (is_expiring, expires_at) = token.expires;
        let values = values![
            uuid,
            token.key_hash,
            token.identifier.as_str(),
            token.description.as_str(),
            token.intent.as_str(),
            token.user,
            is_expiring,
            expires_at,
            now,
            token.generation,
        ];
        self.execute(sql, &values).await?;
        Ok(uuid)
    }

    /// All tokens by identifier, or those of one user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_tokens(&self, user: Option<UserId>) -> Result<Vec<TokenRow>, StoreError> {
        let only = if user.is_some() { "WHERE t.user_id = $1" } else { "" };
        let sql = format!(
            "SELECT t.identifier, t.description, t.intent, u.username, t.is_expiring, t.expires_at, t.created_at \
             FROM tokens t JOIN users u ON u.id = t.user_id {only} ORDER BY t.identifier"
        );
        let values: Vec<_> = user.into_iter().map(Into::into).collect();
        self.all(&sql, &values).await
    }

    /// Removes a token.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_token(&self, token: Uuid) -> Result<(), StoreError> {
        self.execute("DELETE FROM tokens WHERE uuid = $1", &values![token]).await.map(drop)
    }

    /// Removes a user's tokens of one intent.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_tokens_of(&self, user: UserId, intent: TokenIntent) -> Result<u64, StoreError> {
        self.execute("DELETE FROM tokens WHERE user_id = $1 AND intent = $2", &values![user, intent.as_str()]).await
    }
}

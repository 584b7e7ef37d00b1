//! Second factors: authenticators, recovery codes, and wrong codes in a row. One statement checks
//! and uses up what proves once, so that of concurrent requests one succeeds.

use crate::domain::factor::{FactorKind, Tries};
use crate::domain::{FactorId, HashedSecret, Timestamp, UserId};
use crate::store::db::statements::in_list;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// An authenticator as stored.
#[derive(Clone)]
pub struct FactorRow {
    /// Primary key.
    pub id: i64,
    /// Its public identifier.
    pub uuid: FactorId,
    /// Its owner.
    pub user_id: UserId,
    /// Its kind.
    pub kind: FactorKind,
    /// The name that its owner gave it.
    pub name: String,
    /// A sealed TOTP seed, or a passkey's public key and metadata.
    pub secret: Vec<u8>,
    /// The credential id of a passkey.
    pub credential_id: Option<Vec<u8>>,
    /// The last TOTP step or signature counter that was used.
    pub counter: i64,
    /// Whether its owner has shown that it works; until then it proves nothing.
    pub is_confirmed: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last proved something.
    pub last_used_at: Option<Timestamp>,
}

impl std::fmt::Debug for FactorRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FactorRow").field("uuid", &self.uuid).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl FromRow for FactorRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: FactorId(row.uuid()?),
            user_id: UserId(row.int()?),
            kind: FactorKind::parse(&row.text()?).ok_or(StoreError::Corrupt("a kind of authenticator"))?,
            name: row.text()?,
            secret: row.bytes()?,
            credential_id: row.opt_bytes()?,
            counter: row.int()?,
            is_confirmed: row.bool()?,
            created_at: row.timestamp()?,
            last_used_at: row.opt_int()?.map(Timestamp),
        })
    }
}

/// An authenticator to add.
#[derive(Clone)]
pub struct NewFactor {
    /// Its public identifier.
    pub uuid: FactorId,
    /// Its owner.
    pub user: UserId,
    /// Its kind.
    pub kind: FactorKind,
    /// The name that its owner gave it.
    pub name: String,
    /// See [`FactorRow::secret`].
    pub secret: Vec<u8>,
    /// See [`FactorRow::credential_id`].
    pub credential_id: Option<Vec<u8>>,
    /// See [`FactorRow::counter`].
    pub counter: i64,
    /// See [`FactorRow::is_confirmed`].
    pub is_confirmed: bool,
}

macro_rules! select_factors {
    ($rest:literal) => {
        concat!(
            "SELECT f.id, f.uuid, f.user_id, f.kind, f.name, f.secret, f.credential_id, f.counter, f.is_confirmed, ",
            "f.created_at, f.last_used_at FROM authenticators f ",
            $rest
        )
    };
}

impl FromRow for Tries {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { failures: u32::try_from(row.int()?).unwrap_or(u32::MAX), blocked_until: row.timestamp()? })
    }
}

impl Db<'_> {
    /// Adds an authenticator.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its name or its credential is taken, or there is no such user.
    pub async fn insert_factor(&self, factor: &NewFactor, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO authenticators (uuid, user_id, kind, name, secret, credential_id, counter, is_confirmed, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = values![
            factor.uuid.0,
            factor.user,
            factor.kind.as_str(),
            factor.name.as_str(),
            factor.secret.clone(),
            factor.credential_id.clone(),
            factor.counter,
            factor.is_confirmed,
            now,
        ];
        self.execute(sql, &values).await?;
        // An unconfirmed authenticator proves nothing, so the generation of credentials stays.
        if factor.is_confirmed { self.note_credential_change(factor.user).await } else { Ok(()) }
    }

    /// A user's authenticators in the order they were added, unconfirmed ones included.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_factors(&self, user: UserId) -> Result<Vec<FactorRow>, StoreError> {
        self.all(select_factors!("WHERE f.user_id = $1 ORDER BY f.id"), &values![user]).await
    }

    /// Confirmed authenticators of all users with keys above `after`, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_all_factors(&self, after: i64, limit: i64) -> Result<Vec<FactorRow>, StoreError> {
        self.all(select_factors!("WHERE f.id > $1 AND f.is_confirmed ORDER BY f.id LIMIT $2"), &values![after, limit]).await
    }

    /// The authenticator with this identifier, confirmed or not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_factor(&self, uuid: FactorId) -> Result<Option<FactorRow>, StoreError> {
        self.one(select_factors!("WHERE f.uuid = $1"), &values![uuid.0]).await
    }

    /// The confirmed authenticator with this credential id, of any user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_factor_by_credential(&self, credential_id: &[u8]) -> Result<Option<FactorRow>, StoreError> {
        let sql = select_factors!("WHERE f.credential_id = $1 AND f.is_confirmed");
        self.one(sql, &values![credential_id.to_vec()]).await
    }

    /// Whether a user has a confirmed authenticator.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_factor(&self, user: UserId) -> Result<bool, StoreError> {
        Ok(!self.list_with_factor(&[user]).await?.is_empty())
    }

    /// Which of these users have a second factor; a user may be listed more than once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_with_factor(&self, users: &[UserId]) -> Result<Vec<i64>, StoreError> {
        let (list, values) = in_list([], users.iter().copied());
        self.all(&format!("SELECT user_id FROM authenticators WHERE user_id IN ({list}) AND is_confirmed"), &values).await
    }

    /// Stores the use of an authenticator and its new counter, if that is above the last one.
    /// Returns whether it was: of concurrent uses of one counter, one returns true.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn advance_counter(&self, id: i64, counter: i64, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE authenticators SET counter = $2, last_used_at = $3 WHERE id = $1 AND counter < $2";
        Ok(self.execute(sql, &values![id, counter, now]).await? > 0)
    }

    /// Stores the step of a code that was used, if it comes after the last one, or if the last one
    /// is later than `latest`. Returns whether it did: of concurrent uses of one code, one returns
    /// true.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn advance_step(&self, id: i64, step: i64, latest: i64, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE authenticators SET counter = $2, last_used_at = $4 WHERE id = $1 AND (counter < $2 OR counter > $3)";
        Ok(self.execute(sql, &values![id, step, latest, now]).await? > 0)
    }

    /// Notes that an authenticator without a counter was used.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_factor_used(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.execute("UPDATE authenticators SET last_used_at = $2 WHERE id = $1", &values![id, now]).await.map(drop)
    }

    /// Replaces the metadata of a passkey, such as its backup state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_factor_secret(&self, id: i64, secret: &[u8]) -> Result<(), StoreError> {
        self.execute("UPDATE authenticators SET secret = $2 WHERE id = $1", &values![id, secret.to_vec()]).await.map(drop)
    }

    /// Marks an authenticator as confirmed: it proves from now on. Returns whether there was an
    /// unconfirmed one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_factor_confirmed(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE authenticators SET is_confirmed = $2 WHERE id = $1 AND NOT is_confirmed";
        if self.execute(sql, &values![id, true]).await? == 0 {
            return Ok(false);
        }
        let sql = "UPDATE users SET credential_changes = credential_changes + 1 \
            WHERE id = (SELECT user_id FROM authenticators WHERE id = $1)";
        self.execute(sql, &values![id]).await?;
        Ok(true)
    }

    /// Renames one of a user's authenticators. Returns whether the user has it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_factor_name(&self, user: UserId, uuid: FactorId, name: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE authenticators SET name = $3 WHERE user_id = $1 AND uuid = $2";
        Ok(self.execute(sql, &values![user, uuid.0, name]).await? > 0)
    }

    /// Removes one of a user's authenticators. Returns whether the user had it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_factor(&self, user: UserId, uuid: FactorId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM authenticators WHERE user_id = $1 AND uuid = $2";
        if self.execute(sql, &values![user, uuid.0]).await? == 0 {
            return Ok(false);
        }
        self.note_credential_change(user).await?;
        Ok(true)
    }

    /// Removes a user's authenticators that were never confirmed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_unconfirmed_factors(&self, user: UserId, kind: FactorKind) -> Result<(), StoreError> {
        let sql = "DELETE FROM authenticators WHERE user_id = $1 AND kind = $2 AND NOT is_confirmed";
        self.execute(sql, &values![user, kind.as_str()]).await.map(drop)
    }

    /// Removes all of a user's authenticators, recovery codes and wrong tries. Gives how many confirmed
    /// authenticators there were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_all_factors(&self, user: UserId) -> Result<u64, StoreError> {
        self.execute("DELETE FROM authenticators WHERE user_id = $1 AND NOT is_confirmed", &values![user]).await?;
        let removed = self.execute("DELETE FROM authenticators WHERE user_id = $1", &values![user]).await?;
        self.execute("DELETE FROM recovery_codes WHERE user_id = $1", &values![user]).await?;
        self.delete_tries(user).await?;
        self.note_credential_change(user).await?;
        Ok(removed)
    }

    /// Gives a user these recovery codes in place of those they had.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_recovery_codes(&self, user: UserId, codes: &[HashedSecret], now: Timestamp) -> Result<(), StoreError> {
        self.execute("DELETE FROM recovery_codes WHERE user_id = $1", &values![user]).await?;
        for code in codes {
            let sql = "INSERT INTO recovery_codes (user_id, code_hash, created_at) VALUES ($1, $2, $3)";
            self.execute(sql, &values![user, *code, now]).await?;
        }
        self.note_credential_change(user).await
    }

    /// How many recovery codes a user has left.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_recovery_codes(&self, user: UserId) -> Result<i64, StoreError> {
        Ok(self.one("SELECT count(*) FROM recovery_codes WHERE user_id = $1", &values![user]).await?.unwrap_or(0))
    }

    /// Uses a recovery code up. Returns whether the user had it: of concurrent calls, one returns
    /// true.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_recovery_code(&self, user: UserId, code: HashedSecret) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2", &values![user, code]).await? > 0)
    }

    /// The number of wrong codes in a row. The caller locks the user where a race matters.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_tries(&self, user: UserId) -> Result<Tries, StoreError> {
        let sql = "SELECT failures, blocked_until FROM factor_tries WHERE user_id = $1";
        Ok(self.one(sql, &values![user]).await?.unwrap_or_default())
    }

    /// Stores the number of wrong codes in a row.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_tries(&self, user: UserId, tries: Tries) -> Result<(), StoreError> {
        let sql = "INSERT INTO factor_tries (user_id, failures, blocked_until) VALUES ($1, $2, $3) ON CONFLICT (user_id) \
            DO UPDATE SET failures = excluded.failures, blocked_until = excluded.blocked_until";
        self.execute(sql, &values![user, i64::from(tries.failures), tries.blocked_until]).await.map(drop)
    }

    /// Deletes the count of wrong codes, after a right one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_tries(&self, user: UserId) -> Result<(), StoreError> {
        self.execute("DELETE FROM factor_tries WHERE user_id = $1", &values![user]).await.map(drop)
    }
}

//! Users and their global permissions.

use uuid::Uuid;

use crate::domain::fold::fold;
use crate::domain::names;
use crate::domain::user::TokenIntent;
use crate::domain::{Generation, Permission, Timestamp, UserId, secret};
use crate::store::db::statements::{Statement, in_list, placeholders};
use crate::store::settings::LIMITS_LOCK;
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// A user as stored.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// Primary key.
    pub id: UserId,
    /// What history names them by: it is never used again.
    pub uuid: Uuid,
    /// authentik's `uid`, unique.
    pub uid: String,
    /// What they sign in with; unique, letter case counts.
    pub username: String,
    /// Their full name, or `""`.
    pub name: String,
    /// Their e-mail address, or `""`.
    pub email: String,
    /// Argon2id in PHC form; `None`: cannot sign in with a password.
    pub password_hash: Option<String>,
    /// Inactive users are refused everywhere.
    pub is_active: bool,
    /// May do everything.
    pub is_superuser: bool,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they last signed in.
    pub last_sign_in_at: Option<Timestamp>,
    /// How often their second factors changed, or they were deactivated.
    pub credential_changes: i64,
}

impl UserRow {
    /// The generation of their credentials, which stored proofs are compared with.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation::of(self.password_hash.as_deref(), self.credential_changes)
    }

    /// Whether what was proved for `generation` still proves who this is ([`Generation::holds`]).
    #[must_use]
    pub fn holds(&self, generation: Generation) -> bool {
        generation.holds(self.generation(), self.is_active)
    }
}

impl FromRow for UserRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId(row.int()?),
            uuid: row.uuid()?,
            uid: row.text()?,
            username: row.text()?,
            name: row.text()?,
            email: row.text()?,
            password_hash: row.opt_text()?,
            is_active: row.bool()?,
            is_superuser: row.bool()?,
            created_at: row.timestamp()?,
            last_sign_in_at: row.opt_int()?.map(Timestamp),
            credential_changes: row.int()?,
        })
    }
}

/// A user to add.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its primary key, when it brings one; else the database gives it.
    pub id: Option<UserId>,
    /// See [`UserRow::uuid`], when it brings one; else random.
    pub uuid: Option<Uuid>,
    /// See [`UserRow::uid`], when it brings one; else 256 random bits, in hexadecimal.
    pub uid: Option<String>,
    /// See [`UserRow::username`].
    pub username: String,
    /// See [`UserRow::name`].
    pub name: String,
    /// See [`UserRow::email`].
    pub email: String,
    /// See [`UserRow::password_hash`].
    pub password_hash: Option<String>,
    /// See [`UserRow::is_active`].
    pub is_active: bool,
    /// See [`UserRow::is_superuser`].
    pub is_superuser: bool,
    /// Global permissions.
    pub permissions: Vec<Permission>,
}

/// What to do about rows that another transaction has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Wait for it.
    Wait,
    /// Leave them out.
    Skip,
}

/// What a user may do, with what their groups add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a right of its own")]
pub struct Rights {
    /// Everything.
    pub is_superuser: bool,
    /// Read everything that administrators read.
    pub is_auditor: bool,
    /// [`Permission::ViewSessions`].
    pub may_view_sessions: bool,
    /// [`Permission::DeleteSessions`].
    pub may_delete_sessions: bool,
}

/// Columns of what a user `u` may do, by themselves, by their groups and by the ancestors of those: a [`Rights`] is
/// read of them.
macro_rules! rights_columns {
    () => {
        concat!(
            "(u.is_superuser OR EXISTS (SELECT 1 FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id ",
            "JOIN groups g ON g.id = a.ancestor_id WHERE m.user_id = u.id AND g.is_superuser)), ",
            "(u.is_auditor OR EXISTS (SELECT 1 FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id ",
            "JOIN groups g ON g.id = a.ancestor_id WHERE m.user_id = u.id AND g.is_auditor)), ",
            $crate::store::people::users::rights_columns!("authentik_core.view_authenticatedsession"),
            ", ",
            $crate::store::people::users::rights_columns!("authentik_core.delete_authenticatedsession"),
        )
    };
    ($permission:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM user_permissions p WHERE p.user_id = u.id AND p.permission = '",
            $permission,
            "') OR EXISTS (SELECT 1 FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id ",
            "JOIN group_permissions p ON p.group_id = a.ancestor_id WHERE m.user_id = u.id AND p.permission = '",
            $permission,
            "'))",
        )
    };
}
pub(in crate::store) use rights_columns;

impl Rights {
    /// Whether they read everything: administrators do, and auditors.
    #[must_use]
    pub fn may_inspect(self) -> bool {
        self.is_superuser || self.is_auditor
    }
}

impl FromRow for Rights {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (is_superuser, is_auditor) = (row.bool()?, row.bool()?);
        let (may_view, may_delete) = (row.bool()?, row.bool()?);
        Ok(Self {
            is_superuser,
            is_auditor,
            may_view_sessions: is_superuser || is_auditor || may_view,
            may_delete_sessions: is_superuser || may_delete,
        })
    }
}

macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.uuid, u.uid, u.username, u.name, u.email, u.password_hash, u.is_active, u.is_superuser, u.created_at, ",
            "u.last_sign_in_at, u.credential_changes FROM users u ",
            $rest
        )
    };
}
pub(in crate::store) use select_users;

const NEW_USER: &str = "uuid, uid, username, username_folded, username_key, name, email, email_folded, email_key, password_hash, is_active, \
     is_superuser, created_at, name_folded";

fn new_user(user: &NewUser, now: Timestamp) -> Result<Vec<Value>, StoreError> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(no_randomness)?;
    let uuid = user.uuid.map_or_else(secret::random_uuid, Ok).map_err(no_randomness)?;
    Ok(values![
        uuid,
        user.uid.clone().unwrap_or_else(|| secret::hex(&bits)),
        user.username.as_str(),
        fold(&user.username),
        names::key(&user.username),
        user.name.as_str(),
        user.email.as_str(),
        fold(&user.email),
        names::key(&user.email),
        user.password_hash.clone(),
        user.is_active,
        user.is_superuser,
        now,
        fold(&user.name),
    ]
    .to_vec())
}

pub(in crate::store) fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl Db<'_> {
    /// The user with this primary key.
    ///
    /// # Errors
    /// When the database does not answer, as for all of these.
    pub async fn find_user(&self, id: UserId) -> Result<Option<UserRow>, StoreError> {
        self.one(select_users!("WHERE u.id = $1"), &values![id]).await
    }

    /// The user with this primary key, locked until the transaction ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_user(&self, id: UserId) -> Result<Option<UserRow>, StoreError> {
        // What was waited for is seen: PostgreSQL reads the row anew that it locks.
        self.one(&format!(select_users!("WHERE u.id = $1{}"), self.for_update()), &values![id]).await
    }

    /// Users by name, those after `after` (`""`: from the start), at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_users(&self, after: &str, limit: i64) -> Result<Vec<UserRow>, StoreError> {
        self.all(select_users!("WHERE u.username > $1 ORDER BY u.username LIMIT $2"), &values![after, limit]).await
    }

    /// The names of these users; unknown ones are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_usernames(&self, ids: &[i64]) -> Result<Vec<(i64, String)>, StoreError> {
        let mut names = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(500) {
            let sql = format!(
                "SELECT id, username FROM users WHERE id IN ({})",
                crate::store::db::statements::placeholders(0, chunk.len())
            );
            let values: Vec<_> = chunk.iter().map(|id| (*id).into()).collect();
            names.extend(self.all::<(i64, String)>(&sql, &values).await?);
        }
        Ok(names)
    }

    /// How many users there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_users(&self) -> Result<i64, StoreError> {
        Ok(self.one("SELECT n FROM row_counts WHERE name = 'users'", &[]).await?.unwrap_or(0))
    }

    /// A user's own permissions, those of groups aside.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_permissions(&self, id: UserId) -> Result<Vec<String>, StoreError> {
        self.all("SELECT permission FROM user_permissions WHERE user_id = $1 ORDER BY permission", &values![id]).await
    }

    /// Adds a user and gives its primary key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name, the key, the uuid or the uid is taken.
    pub async fn insert_user(&self, user: &NewUser, now: Timestamp) -> Result<UserId, StoreError> {
        let (column, value) = if user.id.is_some() { ("id, ", "$15, ") } else { ("", "") };
        let sql = format!("INSERT INTO users ({column}{NEW_USER}) VALUES ({value}{}) RETURNING id", placeholders(0, 14));
        let mut values = new_user(user, now)?;
        values.extend(user.id.map(Into::into));
        let id = self.one::<i64>(&sql, &values).await?.map(UserId).ok_or(StoreError::Corrupt("a user without a key"))?;
        self.note_user_change(id.0);
        for permission in &user.permissions {
            let sql = "INSERT INTO user_permissions (user_id, permission) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.execute(sql, &values![id, permission.as_str()]).await?;
        }
        Ok(id)
    }

    /// Adds users without permissions whose keys the database gives, and gives those, in no order.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a name is taken.
    pub async fn insert_users(&self, users: &[NewUser], now: Timestamp) -> Result<Vec<UserId>, StoreError> {
        let rows = users.iter().map(|user| new_user(user, now)).collect::<Result<_, _>>()?;
        let start = format!("INSERT INTO users ({NEW_USER}) VALUES ");
        let ids = self.insert_rows_returning::<i64>(&start, rows, " RETURNING id").await?;
        for id in &ids {
            self.note_user_change(*id);
        }
        Ok(ids.into_iter().map(UserId).collect())
    }

    /// Sets a user's password, and removes what waits for a further step: pending sign-ins and links. What is stored
    /// after this with an older generation opens nothing.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_password(&self, id: UserId, hash: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE users SET password_hash = $2, password_changed_at = $3 WHERE id = $1";
        self.execute(sql, &values![id, hash, now]).await?;
        self.note_user_update(id, now).await?;
        self.delete_tokens_of(id, TokenIntent::Recovery).await?;
        self.delete_pending_sign_ins_of(id).await
    }

    /// Gives a user another name. What ended sessions and events say of them stays as it was.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn update_username(&self, id: UserId, username: &str) -> Result<(), StoreError> {
        self.note_user_change(id.0);
        let sql = "UPDATE users SET username = $2, username_folded = $3, username_key = $4 WHERE id = $1";
        self.execute(sql, &values![id, username, fold(username), names::key(username)]).await.map(drop)
    }

    /// Notes that a user's second factors change: proofs of an older generation open nothing from now on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_credential_change(&self, id: UserId) -> Result<(), StoreError> {
        let sql = "UPDATE users SET credential_changes = credential_changes + 1 WHERE id = $1";
        self.execute(sql, &values![id]).await.map(drop)
    }

    /// Makes a user active or inactive. Proofs of an older generation open nothing from now on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_is_active(&self, id: UserId, is_active: bool) -> Result<(), StoreError> {
        let sql = "UPDATE users SET is_active = $2, credential_changes = credential_changes + 1 WHERE id = $1";
        self.execute(sql, &values![id, is_active]).await.map(drop)
    }

    /// Removes all users, groups and tokens. All sessions must have ended; history stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_people(&self) -> Result<(), StoreError> {
        // What refers to users goes with them (`ON DELETE CASCADE`).
        for table in ["groups", "users"] {
            self.execute(&format!("DELETE FROM {table}"), &[]).await?;
        }
        // What is kept in memory of sessions is read anew, with the names.
        self.restart_changes().await
    }

    /// Removes a user with their tokens, permissions and policy. Their sessions must have ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_user(&self, id: UserId) -> Result<(), StoreError> {
        self.note_user_change(id.0);
        self.execute("DELETE FROM users WHERE id = $1", &values![id]).await.map(drop)
    }

    /// These users, locked until the transaction ends; unknown ones are left out. Statements that are polled
    /// after this future see what was committed before the locks, and may be sent without waiting for it, once
    /// it is [prepared](Db::prepare_sign_ins).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_users_at_sign_in(&self, ids: &[UserId], held: Held) -> Result<Vec<UserRow>, StoreError> {
        let Statement { sql, values } = self.lock_at_sign_in(ids, held);
        self.all(&sql, &values).await
    }

    /// Prepares [`Db::lock_users_at_sign_in`] for as many users, so that nothing that is sent with it can come
    /// before it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prepare_sign_ins(&self, ids: &[UserId], held: Held) -> Result<(), StoreError> {
        self.prepare(&[&self.lock_at_sign_in(ids, held).sql]).await
    }

    fn lock_at_sign_in(&self, ids: &[UserId], held: Held) -> Statement {
        let (list, values) = in_list([], ids.iter().copied());
        // Nothing of it is changed that others refer to: who adds a row of theirs does not wait.
        let lock = match held {
            _ if self.is_sqlite() => "",
            Held::Wait => " ORDER BY u.id FOR NO KEY UPDATE",
            Held::Skip => " FOR NO KEY UPDATE SKIP LOCKED",
        };
        // Limits of the instance are not changed until this transaction ends.
        let limits = if self.is_sqlite() {
            String::new()
        } else {
            format!(" AND (SELECT true FROM pg_advisory_xact_lock_shared({LIMITS_LOCK}))")
        };
        Statement::new(format!(select_users!("WHERE u.id IN ({}){}{}"), list, limits, lock), values)
    }

    /// Notes that these users sign in now, with the last statements of the transaction.
    pub fn update_signed_in_last(&self, ids: &[UserId], now: Timestamp) {
        if ids.is_empty() {
            return;
        }
        let (list, values) = in_list(values![now], ids.iter().copied());
        self.run_last(vec![Statement::new(format!("UPDATE users SET last_sign_in_at = $1 WHERE id IN ({list})"), values)]);
    }

    /// Lets the database's own keys go on after the ones an import brought.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn advance_user_keys(&self) -> Result<(), StoreError> {
        if self.is_sqlite() {
            return Ok(()); // AUTOINCREMENT does so by itself.
        }
        let sql = "SELECT setval(pg_get_serial_sequence('users', 'id'), (SELECT GREATEST(MAX(id), 1) FROM users))";
        self.all::<i64>(sql, &[]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_of_the_permissions() {
        for permission in Permission::ALL {
            assert_eq!(rights_columns!().matches(&format!("'{}'", permission.as_str())).count(), 2);
        }
    }
}

//! All that is stored of a user but secrets: what lists and single answers show, and what is changed of it.

use crate::domain::fold::fold;
use crate::domain::names;
use crate::domain::user::UserType;
use crate::domain::{Timestamp, UserId};
use crate::store::db::statements::in_list;
use crate::store::people::reached::{ReachedGroup, ReachedGroups, groups_column};
use crate::store::people::users::UserRow;
use crate::store::{Db, FromRow, Row, Store, StoreError, Value};
use crate::values;

/// A user with all that is known of them.
#[derive(Clone, Debug)]
pub struct UserProfile {
    /// What sign-ins need.
    pub user: UserRow,
    /// A JSON object, as text.
    pub attributes: String,
    /// Where they are sorted in, such as `users/staff`.
    pub path: String,
    /// What they are.
    pub kind: UserType,
    /// Whether it is known that the e-mail address is theirs.
    pub is_email_verified: bool,
    /// Whether they are an auditor by themselves.
    pub is_auditor: bool,
    /// When the password was last set; without one, when they were added.
    pub password_changed_at: Timestamp,
    /// When any of it last changed: no two states of a user have the same.
    pub updated_at: Timestamp,
    /// Whether they may do everything, by themselves, by a group or by an ancestor of one.
    pub is_administrator: bool,
    /// When they asked to be removed; `None`: they did not, or it was decided.
    pub removal_asked_at: Option<Timestamp>,
}

impl FromRow for UserProfile {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            user: UserRow::from_row(row)?,
            attributes: row.text()?,
            path: row.text()?,
            kind: UserType::parse(&row.text()?).ok_or(StoreError::Corrupt("a type of user"))?,
            is_email_verified: row.bool()?,
            is_auditor: row.bool()?,
            password_changed_at: row.timestamp()?,
            updated_at: row.timestamp()?,
            is_administrator: row.bool()?,
            removal_asked_at: row.opt_int()?.map(Timestamp),
        })
    }
}

/// The columns of a [`UserProfile`], of the table that is called `u`. `$administrator` tells whether they are one.
macro_rules! profile_columns {
    ($administrator:literal) => {
        concat!(
            "u.id, u.uuid, u.uid, u.username, u.name, u.email, u.password_hash, u.is_active, u.is_superuser, u.created_at, ",
            "u.last_sign_in_at, u.credential_changes, u.attributes, u.path, u.type, u.is_email_verified, u.is_auditor, ",
            "COALESCE(u.password_changed_at, u.created_at), COALESCE(u.updated_at, u.created_at), ",
            $administrator,
            ", u.removal_asked_at"
        )
    };
}

const PROFILE_COLUMNS: &str = profile_columns!(
    "(u.is_superuser OR EXISTS (SELECT 1 FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id \
     JOIN groups g ON g.id = a.ancestor_id WHERE m.user_id = u.id AND g.is_superuser))"
);
/// The same without what their groups make of them: for lists, which read the groups in a statement of their own.
pub(in crate::store) const PROFILE_COLUMNS_WITHOUT_GROUPS: &str = profile_columns!("u.is_superuser");

/// The part of a statement that notes a change; `now` is the place of the time.
fn updated(now: &str) -> String {
    let last = "COALESCE(updated_at, created_at)";
    format!("updated_at = CASE WHEN {last} >= {now} THEN {last} + 1 ELSE {now} END")
}

/// What to change of a user; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileUpdate {
    /// The full name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether it is known to be theirs.
    pub is_email_verified: Option<bool>,
    /// Whether they are a superuser by themselves.
    pub is_superuser: Option<bool>,
    /// Whether they are an auditor by themselves.
    pub is_auditor: Option<bool>,
    /// A JSON object, as text.
    pub attributes: Option<String>,
    /// The path.
    pub path: Option<String>,
    /// What they are.
    pub kind: Option<UserType>,
    /// When they last signed in; the inner `None`: never.
    pub last_sign_in_at: Option<Option<Timestamp>>,
}

impl Db<'_> {
    /// The user with this primary key, with all that is known of them.
    ///
    /// # Errors
    /// When the database does not answer, as for all of these.
    pub async fn find_profile(&self, id: UserId) -> Result<Option<UserProfile>, StoreError> {
        self.one(&format!("SELECT {PROFILE_COLUMNS} FROM users u WHERE u.id = $1"), &values![id]).await
    }

    /// The same with all groups of the user, the ancestors of the direct ones too, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_profile_and_groups(&self, id: UserId) -> Result<Option<(UserProfile, Vec<ReachedGroup>)>, StoreError> {
        macro_rules! select {
            ($database:ident) => {
                concat!(
                    "SELECT ",
                    profile_columns!("u.is_superuser"),
                    ", ",
                    groups_column!($database),
                    " FROM users u WHERE u.id = $1"
                )
            };
        }
        let sql = if self.is_sqlite() { select!(sqlite) } else { select!(postgres) };
        let found: Option<(UserProfile, ReachedGroups)> = self.one(sql, &values![id]).await?;
        Ok(found.map(|(mut profile, ReachedGroups(groups))| {
            profile.is_administrator |= groups.iter().any(|group| group.is_superuser);
            (profile, groups)
        }))
    }

    /// A user with this primary key, locked until the transaction ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_profile(&self, id: UserId) -> Result<Option<UserProfile>, StoreError> {
        if self.lock_user(id).await?.is_none() {
            return Ok(None);
        }
        self.find_profile(id).await
    }

    /// Changes a user, and notes when.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_profile(&self, id: UserId, update: &ProfileUpdate, now: Timestamp) -> Result<(), StoreError> {
        let mut values = values![id, now].to_vec();
        let mut changes = vec![updated("$2")];
        let mut set = |column: &str, value: Option<Value>| {
            let Some(value) = value else { return };
            values.push(value);
            changes.push(format!("{column} = ${}", values.len()));
        };
        set("name", update.name.as_ref().map(Into::into));
        set("name_folded", update.name.as_ref().map(|name| fold(name).into()));
        set("email", update.email.as_ref().map(Into::into));
        set("email_folded", update.email.as_ref().map(|email| fold(email).into()));
        set("email_key", update.email.as_ref().map(|email| names::key(email).into()));
        set("is_email_verified", update.is_email_verified.map(Into::into));
        set("is_superuser", update.is_superuser.map(Into::into));
        set("is_auditor", update.is_auditor.map(Into::into));
        set("attributes", update.attributes.as_ref().map(Into::into));
        set("path", update.path.as_ref().map(Into::into));
        set("type", update.kind.map(|kind| kind.as_str().into()));
        set("last_sign_in_at", update.last_sign_in_at.map(Into::into));
        self.execute(&format!("UPDATE users SET {} WHERE id = $1", changes.join(", ")), &values).await.map(drop)
    }

    /// Writes when a user asked to be removed, or that they did not, and notes the change.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_removal_asked(&self, id: UserId, asked: Option<Timestamp>, now: Timestamp) -> Result<(), StoreError> {
        let sql = format!("UPDATE users SET removal_asked_at = $3, {} WHERE id = $1", updated("$2"));
        self.execute(&sql, &values![id, now, asked]).await.map(drop)
    }

    /// Notes that a user changed in another way.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_user_update(&self, id: UserId, now: Timestamp) -> Result<(), StoreError> {
        self.execute(&format!("UPDATE users SET {} WHERE id = $1", updated("$2")), &values![id, now]).await.map(drop)
    }

    /// The same of several users, by their keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note_user_updates(&self, ids: &[i64], now: Timestamp) -> Result<(), StoreError> {
        for chunk in ids.chunks(500) {
            let (list, values) = in_list(values![now], chunk.iter().copied());
            self.execute(&format!("UPDATE users SET {} WHERE id IN ({list})", updated("$1")), &values).await?;
        }
        Ok(())
    }

    /// Gives a user these permissions of their own, and no others.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_permissions(&self, id: UserId, permissions: &[crate::domain::Permission]) -> Result<(), StoreError> {
        self.execute("DELETE FROM user_permissions WHERE user_id = $1", &values![id]).await?;
        for permission in permissions {
            let sql = "INSERT INTO user_permissions (user_id, permission) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.execute(sql, &values![id, permission.as_str()]).await?;
        }
        Ok(())
    }

    /// Folds some full names that are not folded so far: those of nodes of version 0.1.0. Gives how many there were.
    async fn fold_some_names(&self) -> Result<usize, StoreError> {
        let sql = "SELECT id, name FROM users WHERE name_folded IS NULL ORDER BY id LIMIT 1000";
        let rows: Vec<(i64, String)> = self.all(sql, &[]).await?;
        for (id, name) in &rows {
            self.execute("UPDATE users SET name_folded = $2 WHERE id = $1", &values![*id, fold(name)]).await?;
        }
        Ok(rows.len())
    }
}

impl Store {
    /// Fills what a migration left empty, since SQL cannot compute it, some rows at a time: the folded full names. Each
    /// step is a transaction of its own, and a later start goes on where one stopped.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub(in crate::store) async fn fill_new_columns(&self) -> Result<(), StoreError> {
        let probe = "SELECT id FROM users WHERE name_folded IS NULL LIMIT 1";
        if self.read().one::<i64>(probe, &[]).await?.is_none() {
            return Ok(());
        }
        while self.write(|db| Box::pin(async move { db.fold_some_names().await })).await? > 0 {}
        Ok(())
    }
}

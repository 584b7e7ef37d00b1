//! The user that a text names, and names that are the same.

use crate::domain::UserId;
use crate::domain::names;
use crate::store::people::users::{UserRow, select_users};
use crate::store::{Db, StoreError};
use crate::values;

/// The only user that the first of these tests lets pass; `None` where it lets several pass, or none of
/// them any.
fn pick(found: &[UserRow], tests: &[&dyn Fn(&UserRow) -> bool]) -> Option<UserRow> {
    for test in tests {
        let mut passed = found.iter().filter(|user| test(user));
        let Some(first) = passed.next() else { continue };
        return passed.all(|user| user.id == first.id).then(|| first.clone());
    }
    None
}

impl Db<'_> {
    /// The user with this name, exactly.
    ///
    /// # Errors
    /// When the database does not answer, as for all of these.
    pub async fn find_user_by_name(&self, username: &str) -> Result<Option<UserRow>, StoreError> {
        self.one(select_users!("WHERE u.username = $1"), &values![username]).await
    }

    /// The user that this name means, for administrators: of this name exactly, else the only one whose
    /// name is the same ([`names::are_same`]).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_named(&self, username: &str) -> Result<Option<UserRow>, StoreError> {
        const SQL: &str = concat!(
            "SELECT * FROM (",
            select_users!("WHERE u.username = $1"),
            ") exact UNION ALL SELECT * FROM (",
            select_users!("WHERE u.username_key = $2 LIMIT 2"),
            ") same"
        );
        let found = self.all(SQL, &values![username, names::key(username)]).await?;
        Ok(pick(&found, &[&|user| user.username == username, &|_| true]))
    }

    /// The user who signs in with this text: of this name exactly; else the only one whose name is the
    /// same; else the only one with this e-mail address exactly; else the only one whose address is the
    /// same. One statement looks for all of them, so that a known name does not answer sooner.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_by_uid(&self, uid: &str) -> Result<Option<UserRow>, StoreError> {
        const SQL: &str = concat!(
            "SELECT * FROM (",
            select_users!("WHERE u.username = $1 OR u.username = $2"),
            ") exact UNION ALL SELECT * FROM (",
            select_users!("WHERE u.username_key = $3 LIMIT 2"),
            ") same UNION ALL SELECT * FROM (",
            select_users!("WHERE u.email_key = $3 AND u.email_key <> '' AND u.email = $2 LIMIT 2"),
            ") address UNION ALL SELECT * FROM (",
            select_users!("WHERE u.email_key = $3 AND u.email_key <> '' LIMIT 2"),
            ") same_address"
        );
        let tidy = names::tidy(uid).unwrap_or_default();
        let key = names::key(uid);
        let found: Vec<UserRow> = self.all(SQL, &values![uid, tidy.as_str(), key.as_str()]).await?;
        Ok(pick(
            &found,
            &[
                &|user| user.username == uid,
                &|user| user.username == tidy,
                &|user| names::key(&user.username) == key,
                &|user| user.email == tidy,
                &|_| true,
            ],
        ))
    }

    /// Holds off other transactions that give names, until this one ends: two names that are the same
    /// ([`names::are_same`]) are then found by whichever comes second.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_names(&self) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (name, value) VALUES ('names', '') ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.execute(sql, &[]).await.map(drop)
    }

    /// Whether a user has this name or one that is the same.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_username_taken(&self, username: &str) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM users WHERE username_key = $1 LIMIT 1";
        Ok(self.one::<i64>(sql, &values![names::key(username)]).await?.is_some())
    }

    /// Whether another user has this name or one that is the same.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_username_taken_by_other(&self, username: &str, than: UserId) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM users WHERE username_key = $1 AND id <> $2 LIMIT 1";
        Ok(self.one::<i64>(sql, &values![names::key(username), than]).await?.is_some())
    }

    /// Whether another user has this e-mail address or one that is the same.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_email_taken_by_other(&self, email: &str, than: UserId) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM users WHERE email_key = $1 AND email_key <> '' AND id <> $2 LIMIT 1";
        Ok(self.one::<i64>(sql, &values![names::key(email), than]).await?.is_some())
    }

    /// Other users with this e-mail address or one that is the same, by name, `limit` at most: keys and names.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_same_email(&self, email: &str, than: UserId, limit: i64) -> Result<Vec<(i64, String)>, StoreError> {
        let sql = "SELECT id, username FROM users WHERE email_key = $1 AND email_key <> '' AND id <> $2 ORDER BY username LIMIT $3";
        self.all(sql, &values![names::key(email), than, limit]).await
    }

    /// Names of users that are the same, and e-mail addresses that more than one user has: at most
    /// `limit` groups of each, the names of a group in order. Reads all users.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_same_names(&self, limit: i64) -> Result<Vec<Vec<String>>, StoreError> {
        let mut groups = Vec::new();
        for (key, condition) in [("username_key", ""), ("email_key", "WHERE email_key <> '' ")] {
            let sql = format!("SELECT {key} FROM users {condition}GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT $1");
            for value in self.all::<String>(&sql, &values![limit]).await? {
                let sql = format!("SELECT username FROM users WHERE {key} = $1 ORDER BY username LIMIT 20");
                groups.push(self.all::<String>(&sql, &values![value]).await?);
            }
        }
        Ok(groups)
    }
}

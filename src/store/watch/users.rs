//! The names of users at a source.

use std::collections::{HashMap, HashSet};

use crate::domain::fold::fold;
use crate::domain::source::SourceId;
use crate::store::db::statements::in_list;
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// How many users one statement names at most.
const AT_ONCE: usize = 512;

/// A user of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUser {
    /// The primary key at the source.
    pub pk: i64,
    /// The name to sign in with.
    pub username: String,
    /// The full name, or `""`.
    pub name: String,
    /// Whether they may sign in.
    pub is_active: bool,
    /// Whether they may do everything there.
    pub is_superuser: bool,
}

impl FromRow for SourceUser {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { pk: row.int()?, username: row.text()?, name: row.text()?, is_active: row.bool()?, is_superuser: row.bool()? })
    }
}

impl Db<'_> {
    /// Writes users of a source.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keep_source_users(&self, source: SourceId, users: &[SourceUser]) -> Result<(), StoreError> {
        let rows = users.iter().map(|user| {
            let folded = fold(&user.username);
            values![source.0, user.pk, user.username.as_str(), folded, user.name.as_str(), user.is_active, user.is_superuser]
                .to_vec()
        });
        let start = "INSERT INTO source_users (source_id, pk, username, username_folded, name, is_active, is_superuser) VALUES ";
        let end = " ON CONFLICT (source_id, pk) DO UPDATE SET username = excluded.username, \
            username_folded = excluded.username_folded, name = excluded.name, is_active = excluded.is_active, \
            is_superuser = excluded.is_superuser";
        self.insert_rows(start, rows.collect::<Vec<Vec<Value>>>(), end).await?;
        self.note_source_user_changes(users.iter().map(|user| user.pk));
        Ok(())
    }

    /// Deletes the users of a source but these, as far as no session of the copy is theirs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_source_users(&self, source: SourceId, but: &[i64]) -> Result<(), StoreError> {
        let but: HashSet<i64> = but.iter().copied().collect();
        let known: Vec<i64> = self.all("SELECT pk FROM source_users WHERE source_id = $1", &values![source.0]).await?;
        let gone: Vec<i64> = known.into_iter().filter(|pk| !but.contains(pk)).collect();
        for gone in gone.chunks(AT_ONCE) {
            let (these, values) = in_list(values![source.0], gone.iter().copied());
            let sql = format!(
                "DELETE FROM source_users WHERE source_id = $1 AND pk IN ({these}) AND NOT EXISTS (SELECT 1 FROM \
                 watched_sessions w WHERE w.source_id = source_users.source_id AND w.user_pk = source_users.pk)"
            );
            self.execute(&sql, &values).await?;
            self.note_source_user_changes(gone.iter().copied());
        }
        Ok(())
    }

    /// How many users of the copy's sessions have no name here.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_unnamed_users(&self, source: SourceId) -> Result<i64, StoreError> {
        let sql = "SELECT count(DISTINCT w.user_pk) FROM watched_sessions w WHERE w.source_id = $1 \
            AND NOT EXISTS (SELECT 1 FROM source_users u WHERE u.source_id = w.source_id AND u.pk = w.user_pk)";
        Ok(self.one::<i64>(sql, &values![source.0]).await?.unwrap_or(0))
    }

    /// The names of these users of a source: `""` for one whose name is not known.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_source_usernames(&self, source: SourceId, pks: &[i64]) -> Result<Vec<(i64, String)>, StoreError> {
        let mut names: HashMap<i64, String> = pks.iter().map(|pk| (*pk, String::new())).collect();
        for pks in pks.chunks(AT_ONCE) {
            let (these, values) = in_list(values![source.0], pks.iter().copied());
            let sql = format!("SELECT pk, username FROM source_users WHERE source_id = $1 AND pk IN ({these})");
            names.extend(self.all::<(i64, String)>(&sql, &values).await?);
        }
        Ok(names.into_iter().collect())
    }

    /// The primary keys of users of a source who have this name, at most two: while names are read, two may have one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_source_users_named(&self, source: SourceId, username: &str) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT pk FROM source_users WHERE source_id = $1 AND username = $2 ORDER BY pk LIMIT 2";
        self.all(sql, &values![source.0, username]).await
    }

    /// A user of a source.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_source_user(&self, source: SourceId, pk: i64) -> Result<Option<SourceUser>, StoreError> {
        let sql = "SELECT pk, username, name, is_active, is_superuser FROM source_users WHERE source_id = $1 AND pk = $2";
        self.one(sql, &values![source.0, pk]).await
    }

    /// The users of a source, by primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_source_users(&self, source: SourceId) -> Result<Vec<SourceUser>, StoreError> {
        let sql = "SELECT pk, username, name, is_active, is_superuser FROM source_users WHERE source_id = $1 ORDER BY pk";
        self.all(sql, &values![source.0]).await
    }
}

//! The people that events name: also those who were removed, and are in no other table.

use uuid::Uuid;

use crate::domain::names;
use crate::store::people::privacy::ERASED;
use crate::store::{Db, StoreError};
use crate::values;

/// How many of the events `user_removed` are looked through, the latest first.
const REMOVED_READ: i64 = 1_000;
/// How many events of one author are looked through for one that a user did.
const DONE_READ: i64 = 1_000;
/// The authors of events who are no users, or are not known any more.
const NO_USERS: [&str; 4] = ["system", "cli", "anonymous", ERASED];

/// A user as events name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUser {
    /// What history names them by.
    pub uuid: Uuid,
    /// Their name; of a removed user, the last one.
    pub username: String,
}

/// Who does events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A user, who may be removed.
    User(NamedUser),
    /// Who is no user: `system`, `cli`, `anonymous`, `erased`.
    Other(&'static str),
}

impl Author {
    /// The name that events have.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.username,
            Self::Other(name) => name,
        }
    }
}

impl Db<'_> {
    /// The user that this name means ([`Db::find_user_named`]), or meant before they were removed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_of_events(&self, name: &str) -> Result<Option<NamedUser>, StoreError> {
        match self.find_user_named(name).await? {
            Some(user) => Ok(Some(NamedUser { uuid: user.uuid, username: user.username })),
            None => self.find_removed_user(name).await,
        }
    }

    /// Who this name means as the author of events. Users come first, whatever their name is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_author(&self, name: &str) -> Result<Option<Author>, StoreError> {
        if let Some(user) = self.find_user_named(name).await? {
            return Ok(Some(Author::User(NamedUser { uuid: user.uuid, username: user.username })));
        }
        if let Some(word) = NO_USERS.into_iter().find(|word| word.eq_ignore_ascii_case(name)) {
            return Ok(Some(Author::Other(word)));
        }
        Ok(self.find_removed_user(name).await?.map(Author::User))
    }

    /// The user of this name who was removed last: of those whose removal is among the latest events of that kind in any
    /// letter case, else one who did something, by this name exactly. Each reads a bounded part of an index.
    async fn find_removed_user(&self, name: &str) -> Result<Option<NamedUser>, StoreError> {
        const REMOVED: &str = "SELECT user_uuid, username FROM (SELECT user_uuid, username FROM events \
            WHERE kind = 'user_removed' ORDER BY at DESC LIMIT $1) AS removed WHERE user_uuid IS NOT NULL";
        const DONE: &str = "SELECT d.actor_uuid FROM (SELECT actor_uuid FROM events WHERE actor = $1 ORDER BY at DESC LIMIT $2) AS d \
            WHERE d.actor_uuid IS NOT NULL AND d.actor_uuid <> $3 LIMIT 1";
        let removed: Vec<(Uuid, String)> = self.all(REMOVED, &values![REMOVED_READ]).await?;
        let key = names::key(name);
        let exact = removed.iter().find(|(_, username)| username == name);
        let same = || removed.iter().find(|(_, username)| names::key(username) == key);
        if let Some((uuid, username)) = exact.or_else(same) {
            return Ok(Some(NamedUser { uuid: *uuid, username: username.clone() }));
        }
        let done: Option<Uuid> = self.one(DONE, &values![name, DONE_READ, Uuid::nil()]).await?;
        Ok(done.map(|uuid| NamedUser { uuid, username: name.to_owned() }))
    }
}

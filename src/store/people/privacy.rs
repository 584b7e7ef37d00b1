//! What is kept of one person outside of their own rows: groups, the record, and what is left of it
//! when they are erased.

use crate::domain::UserId;
use crate::store::events::rows::EventRow;
use crate::store::{CountKey, Db, StoreError};
use crate::values;

/// What stands where the name of somebody stood who was erased.
pub const ERASED: &str = "erased";

impl Db<'_> {
    /// The names of a user's groups.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_groups_of(&self, user: UserId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT g.name FROM groups g JOIN memberships m ON m.group_id = g.id WHERE m.user_id = $1 ORDER BY g.name";
        self.all(sql, &values![user]).await
    }

    /// Events about a user or by them, the oldest first, after the one with the key `after`, at most
    /// `limit`; each with its key. It passes over all events: for long reads.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_events_of_person(&self, user: UserId, after: i64, limit: i64) -> Result<Vec<(i64, EventRow)>, StoreError> {
        let sql = "SELECT id, at, kind, actor_id, actor, user_id, username, ip, request_id, session_uuid, detail FROM events \
            WHERE id > $2 AND (user_id = $1 OR actor_id = $1) ORDER BY id LIMIT $3";
        self.all(sql, &values![user, after, limit]).await
    }

    /// Forgets the ended sessions of a user who is no more, and those under their name that are
    /// nobody's; gives how many. Where they ended others' sessions, their name goes.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_ended_sessions(&self, user: UserId, name: &str) -> Result<u64, StoreError> {
        let sql = "DELETE FROM ended_sessions WHERE user_id = $1 OR (username = $2 AND user_id NOT IN (SELECT id FROM users)) \
            RETURNING user_id";
        let owners: Vec<i64> = self.all(sql, &values![user, name]).await?;
        for owner in &owners {
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(*owner)], -1);
        }
        let sql = "UPDATE ended_sessions SET ended_by = NULL, ended_by_name = $3 \
            WHERE ended_by = $1 OR (ended_by_name = $2 AND ended_by IS NOT NULL AND ended_by NOT IN (SELECT id FROM users))";
        self.execute(sql, &values![user, name, ERASED]).await?;
        Ok(owners.len() as u64)
    }

    /// Takes a user who is no more out of the record, and gives in how many events they were. That
    /// something of that kind happened then stays, and who else did it or whom else it concerned.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_events(&self, user: UserId, name: &str) -> Result<u64, StoreError> {
        let about = "UPDATE events SET user_id = NULL, username = '', session_uuid = NULL, detail = '', \
            ip = CASE WHEN actor_id IS NULL OR actor_id = $1 THEN '' ELSE ip END, \
            request_id = CASE WHEN actor_id IS NULL OR actor_id = $1 THEN '' ELSE request_id END \
            WHERE user_id = $1 OR (username = $2 AND user_id IS NOT NULL AND user_id NOT IN (SELECT id FROM users))";
        let by = "UPDATE events SET actor_id = NULL, actor = $3, ip = '', request_id = '' \
            WHERE actor_id = $1 OR (actor = $2 AND actor_id IS NOT NULL AND actor_id NOT IN (SELECT id FROM users))";
        let count = "SELECT count(*) FROM events WHERE user_id = $1 OR actor_id = $1 \
            OR (username = $2 AND user_id IS NOT NULL AND user_id NOT IN (SELECT id FROM users)) \
            OR (actor = $2 AND actor_id IS NOT NULL AND actor_id NOT IN (SELECT id FROM users))";
        let erased = self.one::<i64>(count, &values![user, name]).await?.unwrap_or(0);
        self.execute(about, &values![user, name]).await?;
        self.execute(by, &values![user, name, ERASED]).await?;
        Ok(u64::try_from(erased).unwrap_or(0))
    }
}

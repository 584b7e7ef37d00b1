//! Events as pages list them: the latest first, filtered, page after page by key.

use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::events::rows::EventRow;
use crate::store::{Db, StoreError, Value};

/// Which events. All that is given applies together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// Concerning this user.
    pub user: Option<UserId>,
    /// Done by somebody of this name, exactly.
    pub actor: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Concerning this session.
    pub session: Option<SessionId>,
    /// At this instant or later.
    pub from: Option<Timestamp>,
    /// At this instant or earlier.
    pub to: Option<Timestamp>,
    /// Before the one with this key: the next page.
    pub before: Option<i64>,
}

impl Db<'_> {
    /// Events that match, the latest first, at most `limit`; each with its key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_latest_events(&self, filter: &EventFilter, limit: i64) -> Result<Vec<(i64, EventRow)>, StoreError> {
        let conditions: [(&str, Option<Value>); 7] = [
            ("user_id =", filter.user.map(Into::into)),
            ("actor =", filter.actor.as_ref().map(Into::into)),
            ("kind =", filter.kind.as_ref().map(Into::into)),
            ("session_uuid =", filter.session.map(Into::into)),
            ("at >=", filter.from.map(Into::into)),
            ("at <=", filter.to.map(Into::into)),
            ("id <", filter.before.map(Into::into)),
        ];
        let (mut sql, mut values) = (String::new(), Vec::new());
        for (condition, value) in conditions {
            let Some(value) = value else { continue };
            values.push(value);
            let word = if values.len() == 1 { "WHERE" } else { "AND" };
            for part in [" ", word, " ", condition, " $", &values.len().to_string()] {
                sql.push_str(part);
            }
        }
        values.push(limit.into());
        let sql = format!(
            "SELECT id, at, kind, actor_id, actor, user_id, username, ip, request_id, session_uuid, detail FROM events{sql} \
             ORDER BY id DESC LIMIT ${}",
            values.len()
        );
        self.all(&sql, &values).await
    }
}

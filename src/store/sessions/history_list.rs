//! The list of ended sessions: a page and their number; and the deletion of old ones.

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::application::session::EndedAppSession;
use crate::domain::listing::{EndedFilter, EndedSortKey, Sort, SortKey};
use crate::domain::page::{Found, Wanted, Window};
use crate::store::lists::Listed;
use crate::store::sessions::conditions::{Conditions, Keys};
use crate::store::sessions::details::{SIGN_IN_COLUMNS, SignInRow};
use crate::store::sessions::history::{EndedSessionRow, USER_NOW};
use crate::store::sessions::rows::SessionRow;
use crate::store::{CountKey, Db, FromRow, Row, Store, StoreError};
use crate::values;

/// The columns of a [`SessionRow`], after the UUID of the session and its user.
pub(in crate::store) const AS_LISTED: &str =
    "s.created_at, s.last_used_at, s.expires_at, s.last_ip_key, s.user_agent_id, s.is_remembered";

/// An ended session as listed.
#[derive(Clone, Debug)]
pub struct EndedListRow {
    /// The session as it was when it ended.
    pub session: SessionRow,
    /// How its user signed in.
    pub sign_in: SignInRow,
    /// How it ended.
    pub end: EndedSessionRow,
    /// The app sessions that it had.
    pub applications: Vec<EndedAppSession>,
}

impl FromRow for EndedListRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            session: SessionRow::from_row(row)?,
            sign_in: SignInRow::from_row(row)?,
            end: EndedSessionRow::from_row(row)?,
            applications: EndedAppSession::list_from_json(&row.text()?),
        })
    }
}

impl Listed for EndedFilter {
    type Key = EndedSortKey;
    type Row = EndedListRow;

    async fn find(&self, store: &Store, order: &[Sort<EndedSortKey>], wanted: Wanted) -> Result<Found<EndedListRow>, StoreError> {
        let (filter, order) = (self.clone(), order.to_vec());
        // Most filters have no index here, so a large part of the table may be read.
        let read = store.long_read(move |db| {
            Box::pin(async move {
                let count = db.count_ended_sessions(&filter).await?;
                let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
                Ok(wanted.found(count, db.list_ended_sessions(&filter, &order, window).await?))
            })
        });
        read.await
    }
}

impl Db<'_> {
    /// The number of ended sessions that match.
    async fn count_ended_sessions(&self, filter: &EndedFilter) -> Result<i64, StoreError> {
        let Some(conditions) = self.conditions_of_ended(filter).await? else { return Ok(0) };
        if let Some(key) = &conditions.counted {
            return self.count_sessions_of(key).await;
        }
        let sql = format!("SELECT count(*) FROM ended_sessions s{}", conditions.where_clause(&[], true));
        Ok(self.one::<i64>(&sql, &conditions.values).await?.unwrap_or(0))
    }

    /// The ended sessions that match, in order, one window of them.
    async fn list_ended_sessions(
        &self,
        filter: &EndedFilter,
        sorts: &[Sort<EndedSortKey>],
        window: Window,
    ) -> Result<Vec<EndedListRow>, StoreError> {
        let Some(mut conditions) = self.conditions_of_ended(filter).await? else { return Ok(Vec::new()) };
        let mut order: Vec<String> = Vec::new();
        for sort in sorts {
            let column = match sort.key {
                EndedSortKey::Ended => "s.ended_at",
                EndedSortKey::Session(key) => match key {
                    SortKey::Uuid => "s.uuid",
                    SortKey::User => USER_NOW,
                    SortKey::Username => "s.username",
                    SortKey::LastIp => "s.last_ip_key",
                    SortKey::UserAgent => "a.text",
                    SortKey::LastUsed => "s.last_used_at",
                    SortKey::Expires => "s.expires_at",
                    SortKey::Created => "s.created_at",
                    SortKey::Country => "s.country",
                },
            };
            order.push(format!("{column}{}", if sort.is_descending { " DESC" } else { "" }));
        }
        // The UUID is not unique here: the same session may have been imported and ended twice.
        order.extend(["s.uuid".to_owned(), "s.id".to_owned()]);
        let is_by_agent = sorts.iter().any(|sort| sort.key == EndedSortKey::Session(SortKey::UserAgent));
        let (tables, joins): (&str, &[&str]) =
            if is_by_agent { ("ended_sessions s, user_agents a", &["a.id = s.user_agent_id"]) } else { ("ended_sessions s", &[]) };
        let sql = format!(
            "SELECT s.uuid, {USER_NOW}, {AS_LISTED}, {SIGN_IN_COLUMNS}, s.uuid, s.username, s.ended_at, s.ended_by_name, s.reason, s.comment, s.applications FROM {tables}{} \
             ORDER BY {}",
            conditions.where_clause(joins, true),
            order.join(", ")
        );
        let sql = self.windowed(&sql, &mut conditions, window);
        self.all(&sql, &conditions.values).await
    }

    /// Ended sessions with keys above `after` (0: from the first), by key, at most `limit`; each with its key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_ended_after(&self, after: i64, limit: i64) -> Result<Vec<(i64, EndedListRow)>, StoreError> {
        let sql = format!(
            "SELECT s.id, s.uuid, {USER_NOW}, {AS_LISTED}, {SIGN_IN_COLUMNS}, s.uuid, s.username, s.ended_at, s.ended_by_name, s.reason, \
             s.comment, s.applications FROM ended_sessions s WHERE s.id > $1 ORDER BY s.id LIMIT $2"
        );
        self.all(&sql, &values![after, limit]).await
    }

    /// The filter as SQL. `None`: nothing can match.
    async fn conditions_of_ended(&self, filter: &EndedFilter) -> Result<Option<Conditions>, StoreError> {
        let session = &filter.session;
        if let (Some(visible), Some(user)) = (session.visible_to, session.user)
            && visible != user
        {
            return Ok(None);
        }
        let mut keys = Keys { user: session.visible_to.or(session.user), user_agent: None };
        if let Some(text) = &session.user_agent {
            let Some(id) = self.find_user_agent_id(text).await? else { return Ok(None) };
            keys.user_agent = Some(id);
        }
        // History names users by uuid. The key of a filter names the user who has it now.
        let user = match keys.user {
            Some(id) => Some(self.find_user_uuid(id).await?),
            None => None,
        };
        if user == Some(None) {
            return Ok(None);
        }
        let user = user.flatten();
        let mut conditions = self.ended_conditions(session, Keys { user: None, ..keys });
        if let Some(uuid) = user {
            conditions.compare("s.user_uuid", "=", uuid);
            conditions.is_one_user = true;
        }
        conditions.counted = match conditions.sql.len() {
            0 => Some(CountKey::Ended),
            1 => user.map(CountKey::EndedOfUser),
            _ => None,
        };
        let before = conditions.sql.len();
        // The name it had then: its user may be gone.
        if let Some(username) = &session.username {
            conditions.compare("s.username", "=", username);
        }
        if let Some(at) = filter.ended_gte {
            conditions.compare("s.ended_at", ">=", at);
        }
        if let Some(at) = filter.ended_lte {
            conditions.compare("s.ended_at", "<=", at);
        }
        if let Some(reason) = filter.reason {
            conditions.compare("s.reason", "=", reason.as_str());
        }
        if let Some(name) = &filter.ended_by {
            conditions.compare("s.ended_by_name", "=", name);
        }
        if conditions.sql.len() > before {
            conditions.counted = None;
        }
        Ok(Some(conditions))
    }

    /// Deletes sessions that ended before `before`, at most `limit`, and returns how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_ended_sessions(&self, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM ended_sessions WHERE id IN \
            (SELECT id FROM ended_sessions WHERE ended_at < $1 ORDER BY ended_at LIMIT $2) RETURNING user_uuid";
        let users: Vec<Uuid> = self.all(sql, &values![before, limit]).await?;
        for user in &users {
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(*user)], -1);
        }
        Ok(users.len() as u64)
    }

    /// Deletes the former names of users that no ended session has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_unused_names(&self) -> Result<u64, StoreError> {
        let sql = "DELETE FROM former_names WHERE NOT EXISTS (SELECT 1 FROM ended_sessions s \
            WHERE s.username = former_names.username AND s.user_uuid = former_names.user_uuid)";
        self.execute(sql, &[]).await
    }
}

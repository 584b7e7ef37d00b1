//! The list of ended sessions: a page and their number; and the deletion of old ones.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::application::session::EndedAppSession;
use crate::domain::listing::{EndedFilter, EndedSortKey, Sort, SortKey};
use crate::domain::page::{Found, Wanted};
use crate::domain::source::SourceId;
use crate::store::lists::Listed;
use crate::store::sessions::details::{SIGN_IN_COLUMNS, SignInRow};
use crate::store::sessions::history::{EndedSessionRow, USER_NOW};
use crate::store::sessions::rows::SessionRow;
use crate::store::sessions::sources::{Sources, Texts};
use crate::store::timeline::pages::ids_of;
use crate::store::{CountKey, Db, FromRow, Row, Store, StoreError};
use crate::values;

/// The columns of an [`EndedListRow`], of ended sessions `s`.
pub(in crate::store) fn ended_columns() -> String {
    format!(
        "s.uuid, {USER_NOW}, s.created_at, s.last_used_at, s.expires_at, s.last_ip_key, s.user_agent_id, s.is_remembered, \
         {SIGN_IN_COLUMNS}, s.uuid, s.username, s.ended_at, s.ended_by_name, s.reason, s.comment, s.applications, s.source_id"
    )
}

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
        let mut ended = Self {
            session: SessionRow::from_row(row)?,
            sign_in: SignInRow::from_row(row)?,
            end: EndedSessionRow::from_row(row)?,
            applications: EndedAppSession::list_from_json(&row.text()?),
        };
        ended.session.source = row.opt_int()?.map(SourceId);
        Ok(ended)
    }
}

/// What an order sorts by, of ended sessions `s` and their user agents `a`.
fn column(key: EndedSortKey) -> &'static str {
    match key {
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
    }
}

/// The order in SQL: rows that are equal in it come in the order of their end, in the direction of the last term, which
/// is the order of the indexes. No two rows have one key.
fn order_sql(sorts: &[Sort<EndedSortKey>]) -> String {
    let turn = |is_descending: bool| if is_descending { " DESC" } else { "" };
    let last = turn(sorts.last().is_none_or(|sort| sort.is_descending));
    let mut terms: Vec<String> = sorts.iter().map(|sort| format!("{}{}", column(sort.key), turn(sort.is_descending))).collect();
    if sorts.iter().all(|sort| sort.key != EndedSortKey::Ended) {
        terms.push(format!("s.ended_at{last}"));
    }
    terms.push(format!("s.id{last}"));
    terms.join(", ")
}

impl Listed for EndedFilter {
    type Key = EndedSortKey;
    type Row = EndedListRow;

    async fn find(&self, store: &Store, order: &[Sort<EndedSortKey>], wanted: Wanted) -> Result<Found<EndedListRow>, StoreError> {
        let (filter, order) = (self.clone(), order.to_vec());
        let (users, agents) = (Arc::clone(store.user_texts()), Arc::clone(store.agent_texts()));
        // Some filters have no index, so a large part of the table may be read.
        let read = store.long_read(move |db| {
            Box::pin(async move {
                let Some(sources) = db.ended_sources(&filter, Texts { users: &users, agents: &agents }).await? else {
                    return Ok(wanted.none());
                };
                db.page_ended(&sources, &order, wanted).await
            })
        });
        read.await
    }
}

impl Db<'_> {
    async fn page_ended(
        &self,
        Sources { parts, counted }: &Sources,
        sorts: &[Sort<EndedSortKey>],
        wanted: Wanted,
    ) -> Result<Found<EndedListRow>, StoreError> {
        let known = match counted {
            Some(key) => Some(self.count_sessions_of(key).await?),
            None => None,
        };
        let found = match sorts {
            [] => ids_of(self.page_by_time(parts, true, wanted, known).await?),
            [Sort { key: EndedSortKey::Ended, is_descending }] => {
                ids_of(self.page_by_time(parts, *is_descending, wanted, known).await?)
            }
            _ => {
                let is_by_agent = sorts.iter().any(|sort| sort.key == EndedSortKey::Session(SortKey::UserAgent));
                let joins: &[(&str, &str)] = if is_by_agent { &[("user_agents a", "a.id = s.user_agent_id")] } else { &[] };
                self.page_by_order(parts, joins, &order_sql(sorts), wanted, known).await?
            }
        };
        let mut rows = self.list_ended_of(&found.rows).await?;
        let shown = found.rows.iter().filter_map(|id| rows.remove(id)).collect();
        Ok(found.with_rows(shown))
    }

    /// Ended sessions with keys above `after` (0: from the first), by key, at most `limit`; each with its key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_ended_after(&self, after: i64, limit: i64) -> Result<Vec<(i64, EndedListRow)>, StoreError> {
        let columns = ended_columns();
        let sql = format!("SELECT s.id, {columns} FROM ended_sessions s WHERE s.id > $1 ORDER BY s.id LIMIT $2");
        self.all(&sql, &values![after, limit]).await
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

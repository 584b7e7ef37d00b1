//! The list of sessions by SQL: one query for the rows of a page, one for their number.
//!
//! Names and user agents are resolved to keys before the sessions are looked at, so that most
//! filters compare a column (`store::sessions::conditions`). User, user agent, address,
//! last use and expiry have an index. Country and autonomous system have none: `store::sessions::page`
//! asks the index in memory for these, and without one SQL reads the whole table.
//!
//! A page is read in one of two ways, the one that reads fewer rows: along the index of the order,
//! skipping rows that do not match; or through the filter's index, sorting the matches. PostgreSQL
//! decides by its statistics; for SQLite it is decided here.

use std::collections::HashMap;

use crate::domain::listing::{SessionFilter, SessionRow, Sort, SortKey};
use crate::domain::page::Window;
use crate::store::sessions::conditions::{Conditions, Keys};
use crate::store::sessions::rows::SESSION_COLUMNS;
use crate::store::{CountKey, Db, StoreError, Value};

/// The most rows that are skipped one by one.
const NEAR: i64 = 1000;

/// Whether a window begins too far from the start to skip all rows before it.
pub(in crate::store) fn is_far(window: Window) -> bool {
    window.offset > NEAR
}

impl Db<'_> {
    /// The number of sessions that match.
    pub(in crate::store) async fn count_by_sql(&self, filter: &SessionFilter, keys: &Keys) -> Result<i64, StoreError> {
        let conditions = self.conditions(filter, keys);
        if let Some(key) = &conditions.counted {
            return self.count_sessions_of(key).await;
        }
        let sql = format!("SELECT count(*) FROM sessions s{}", conditions.where_clause(&[], true));
        Ok(self.one::<i64>(&sql, &conditions.values).await?.unwrap_or(0))
    }

    /// The sessions that match, in order, one window of them. `count` is how many match
    /// ([`Db::count_by_sql`]): it decides the way, not the rows.
    pub(in crate::store) async fn list_by_sql(
        &self,
        filter: &SessionFilter,
        keys: &Keys,
        sorts: &[Sort],
        window: Window,
        count: i64,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let mut conditions = self.conditions(filter, keys);
        let is_filter_first = self.is_filter_first(&conditions, window, count).await?;
        let (mut tables, mut joins, mut order) = (Vec::new(), Vec::new(), Vec::new());
        for sort in sorts {
            let column = match sort.key {
                SortKey::Uuid => "s.uuid",
                SortKey::LastIp => "s.last_ip_key",
                SortKey::LastUsed => "s.last_used_at",
                SortKey::Expires => "s.expires_at",
                SortKey::Created => "s.created_at",
                SortKey::Country => "s.country",
                // A column that is equal in all rows does not affect the order.
                SortKey::User | SortKey::Username if conditions.is_one_user => continue,
                SortKey::UserAgent if conditions.is_one_user_agent => continue,
                SortKey::User => "s.user_id",
                SortKey::Username => {
                    tables.push("users u");
                    joins.push("s.user_id = u.id");
                    "u.username"
                }
                SortKey::UserAgent => {
                    tables.push("user_agents a");
                    joins.push("s.user_agent_id = a.id");
                    "a.text"
                }
            };
            order.push(format!("{column}{}", if sort.is_descending { " DESC" } else { "" }));
            if sort.key == SortKey::Uuid {
                break; // Nothing is equal after this.
            }
        }
        if sorts.iter().all(|sort| sort.key != SortKey::Uuid) {
            order.push("s.uuid".into());
        }
        // CROSS JOIN fixes SQLite's order of loops. Along the order: the users by name first, then
        // the sessions of each.
        tables.insert(if is_filter_first { 0 } else { tables.len() }, "sessions s");
        // In a descending order, rows that are equal in it must be sorted by UUID. For a far page
        // SQLite sorts keys alone, from the index. PostgreSQL reads each row in either case.
        let is_deep = self.is_sqlite() && (is_far(window) || sorts.first().is_some_and(|sort| sort.is_descending));
        let sql = format!(
            "SELECT {} FROM {}{} ORDER BY {}",
            if is_deep { "s.id" } else { SESSION_COLUMNS },
            tables.join(" CROSS JOIN "),
            conditions.where_clause(&joins, is_filter_first || !self.is_sqlite()),
            order.join(", ")
        );
        let sql = self.windowed(&sql, &mut conditions, window);
        if is_deep {
            // SQLite keeps the order of the subquery's keys, and looks each row up.
            let sql = format!("SELECT {SESSION_COLUMNS} FROM ({sql}) page CROSS JOIN session_rows s ON s.id = page.id");
            return self.all(&sql, &conditions.values).await;
        }
        self.all(&sql, &conditions.values).await
    }

    /// One window of the rows of a query that has these conditions.
    pub(in crate::store) fn windowed(&self, query: &str, conditions: &mut Conditions, window: Window) -> String {
        // These statements have the same plan for all values; others need a plan for theirs.
        let is_planned_once = conditions.sql.len() == usize::from(conditions.is_one_user);
        let (limit, offset) = (conditions.bind(window.limit), conditions.bind(window.offset));
        if self.is_sqlite() || !is_planned_once {
            return format!("{query} LIMIT {limit} OFFSET {offset}");
        }
        // PostgreSQL does not know the value of a parameter of LIMIT and plans such a statement each time,
        // which can take longer than the query. A constant bound, one of few, lets it plan once.
        let most = window.offset.saturating_add(window.limit).clamp(32, 1 << 40).unsigned_abs().next_power_of_two();
        format!("SELECT * FROM ({query} LIMIT {most}) page LIMIT {limit} OFFSET {offset}")
    }

    /// Those of the rows with these keys that exist, in this order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_sessions_by_key(&self, ids: &[i64]) -> Result<Vec<SessionRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT s.id, {SESSION_COLUMNS} FROM sessions s WHERE s.id IN ({})",
            crate::store::db::statements::placeholders(0, ids.len())
        );
        let values: Vec<Value> = ids.iter().map(|id| (*id).into()).collect();
        let mut rows: HashMap<i64, SessionRow> = self.all::<(i64, SessionRow)>(&sql, &values).await?.into_iter().collect();
        Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
    }

    /// Whether it takes fewer rows to fetch and sort all that match than to walk along the order
    /// until the window is full.
    async fn is_filter_first(&self, conditions: &Conditions, window: Window, count: i64) -> Result<bool, StoreError> {
        if conditions.sql.is_empty() {
            return Ok(false);
        }
        let total = self.count_sessions_of(&CountKey::All).await?;
        let wanted = window.offset.saturating_add(window.limit).min(count);
        let walked = wanted.saturating_mul(total) / count.max(1);
        Ok(count <= walked.max(window.limit))
    }
}

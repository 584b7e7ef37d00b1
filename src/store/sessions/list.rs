//! The list of sessions: one query for the rows of a page, one for their number.
//!
//! Names and user agents are resolved to keys before the sessions are looked at, so that filters are
//! plain comparisons on indexed columns. Search looks at the small tables (users, user agents)
//! first and unites the sessions they lead to.
//!
//! A page is read in one of two ways, whichever looks at fewer rows: along the index of the order,
//! passing over rows that do not match; or through the filter's index, sorting what matches.
//! PostgreSQL decides by its statistics, SQLite is told.

use std::collections::HashMap;

use crate::domain::UserId;
use crate::domain::listing::{SessionFilter, Sort, SortKey, Window, is_order_far};
use crate::domain::search::could_be_address;
use crate::store::sessions::change_log::LogEnd;
use crate::store::sessions::index::Question;
use crate::store::sessions::rows::{SESSION_COLUMNS, SessionRow};
use crate::store::{CountKey, Db, StoreError, Value};

/// So many sessions of one user are looked at one by one.
const SMALL: i64 = 500;

/// A filter, resolved: what SQL needs to know.
#[derive(Default)]
pub(in crate::store) struct Conditions {
    /// Each begins with a column of `sessions s`.
    pub sql: Vec<String>,
    pub values: Vec<Value>,
    /// All sessions asked for are of one user.
    is_one_user: bool,
    /// All sessions asked for have one user agent.
    is_one_user_agent: bool,
    /// What is counted already, when the filter is no more than that.
    pub counted: Option<CountKey>,
}

/// The names of a filter as keys.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Keys {
    pub user: Option<UserId>,
    pub user_agent: Option<i64>,
}

/// What conditions are asked of.
#[derive(Clone, Copy)]
enum Reach {
    /// All sessions: small tables first.
    Table,
    /// Few rows: each by itself.
    Rows,
    /// All ended sessions.
    Ended,
}

impl Keys {
    pub fn question(self, filter: &SessionFilter) -> Question {
        Question { filter: filter.clone(), user: self.user, user_agent_id: self.user_agent }
    }
}

impl Conditions {
    /// Adds a value and gives its placeholder.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Adds `column operator value`.
    pub fn compare(&mut self, column: &str, operator: &str, value: impl Into<Value>) {
        let placeholder = self.bind(value);
        self.sql.push(format!("{column} {operator} {placeholder}"));
    }

    /// The `WHERE` clause, with `joins` after the filter. A `+` before a column keeps SQLite from
    /// using its index.
    pub fn where_clause(&self, joins: &[&str], is_filter_indexed: bool) -> String {
        let plus = if is_filter_indexed { "" } else { "+" };
        let filters = self.sql.iter().map(|sql| format!("{plus}{sql}"));
        let all: Vec<String> = filters.chain(joins.iter().map(|join| (*join).to_owned())).collect();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }
}

impl Db<'_> {
    /// The number of sessions that match.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_sessions(&self, filter: &SessionFilter) -> Result<i64, StoreError> {
        let Some(keys) = self.resolve(filter).await? else { return Ok(0) };
        let conditions = self.conditions(filter, keys);
        if let Some(key) = &conditions.counted {
            return self.count_sessions_of(key).await;
        }
        if filter.reads_far()
            && !self.is_small(keys).await?
            && let Some(count) = self.count_in_index(keys.question(filter)).await?
        {
            return Ok(count);
        }
        let sql = format!("SELECT count(*) FROM sessions s{}", conditions.where_clause(&[], true));
        Ok(self.one::<i64>(&sql, &conditions.values).await?.unwrap_or(0))
    }

    /// How many sessions match, and those of the window that `window_of` makes of that, in order, when that takes
    /// no longer than a look-up; else `None`, and [`Db::count_sessions`] and [`Db::list_sessions`] tell. `log_end`
    /// was read for the same question: what happened since need not be in the answer.
    ///
    /// # Errors
    /// When the database does not answer, and those of `window_of`.
    pub async fn page_sessions_soon<E: From<StoreError>>(
        &self,
        filter: &SessionFilter,
        sorts: &[Sort],
        log_end: Option<LogEnd>,
        window_of: impl FnOnce(i64) -> Result<Window, E>,
    ) -> Result<Option<(i64, Vec<SessionRow>)>, E> {
        if !filter.search.is_empty() {
            return Ok(None);
        }
        let Some(keys) = self.resolve(filter).await? else { return Ok(None) };
        self.page_in_index(&keys.question(filter), sorts, log_end, window_of).await
    }

    /// The sessions that match, in order, one window of them. `count` is how many match
    /// ([`Db::count_sessions`]): it decides the way, not the rows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_sessions(
        &self,
        filter: &SessionFilter,
        sorts: &[Sort],
        window: Window,
        count: i64,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let Some(keys) = self.resolve(filter).await? else { return Ok(Vec::new()) };
        if (filter.reads_far() || window.is_far() || is_order_far(sorts))
            && !self.is_small(keys).await?
            && let Some(rows) = self.list_in_index(keys.question(filter), sorts, window).await?
        {
            return Ok(rows);
        }
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
                // What all rows share orders nothing.
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
        // CROSS JOIN fixes SQLite's order of loops. Along the order: the names first, then the
        // sessions of each.
        tables.insert(if is_filter_first { 0 } else { tables.len() }, "sessions s");
        // Equal ones of a descending order are sorted by name, all of them: keys alone, from the index, where
        // SQLite has them. PostgreSQL looks at each row all the same.
        let is_deep = self.is_sqlite() && (window.is_far() || sorts.first().is_some_and(|sort| sort.is_descending));
        let sql = format!(
            "SELECT {} FROM {}{} ORDER BY {}",
            if is_deep { "s.id" } else { SESSION_COLUMNS },
            tables.join(" CROSS JOIN "),
            conditions.where_clause(&joins, is_filter_first || !self.is_sqlite()),
            order.join(", ")
        );
        let sql = self.windowed(&sql, &mut conditions, window);
        if is_deep {
            // SQLite takes the keys one after the other, as they come, and looks each row up.
            let sql = format!("SELECT {SESSION_COLUMNS} FROM ({sql}) page CROSS JOIN session_rows s ON s.id = page.id");
            return self.all(&sql, &conditions.values).await;
        }
        self.all(&sql, &conditions.values).await
    }

    /// One window of the rows of a query that has these conditions.
    pub(in crate::store) fn windowed(&self, query: &str, conditions: &mut Conditions, window: Window) -> String {
        // Whatever the values, these are planned the same; others are better planned for theirs.
        let is_planned_once = conditions.sql.len() == usize::from(conditions.is_one_user);
        let (limit, offset) = (conditions.bind(window.limit), conditions.bind(window.offset));
        if self.is_sqlite() || !is_planned_once {
            return format!("{query} LIMIT {limit} OFFSET {offset}");
        }
        // PostgreSQL does not know how many a parameter lets through, and so plans each time anew, which can
        // take longer than the query, unless it is told how many at most: one of few numbers.
        let most = window.offset.saturating_add(window.limit).clamp(32, 1 << 40).unsigned_abs().next_power_of_two();
        format!("SELECT * FROM ({query} LIMIT {most}) page LIMIT {limit} OFFSET {offset}")
    }

    /// The rows of these keys, those that are there, in this order.
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

    /// Whether the sessions asked for are all of one user who has not many.
    pub(in crate::store) async fn is_small(&self, keys: Keys) -> Result<bool, StoreError> {
        match keys.user {
            Some(user) => Ok(self.count_sessions_of(&CountKey::User(user.0)).await? <= SMALL),
            None => Ok(false),
        }
    }

    /// Turns names into keys. `None`: nothing can match.
    pub(in crate::store) async fn resolve(&self, filter: &SessionFilter) -> Result<Option<Keys>, StoreError> {
        let mut users = Vec::new();
        users.extend(filter.visible_to);
        users.extend(filter.user);
        if let Some(username) = &filter.username {
            let Some(user) = self.find_user_by_name(username).await? else { return Ok(None) };
            users.push(user.id);
        }
        let user = users.first().copied();
        if users.iter().any(|other| Some(*other) != user) {
            return Ok(None);
        }
        let mut user_agent = None;
        if let Some(text) = &filter.user_agent {
            let Some(id) = self.find_user_agent_id(text).await? else { return Ok(None) };
            user_agent = Some(id);
        }
        Ok(Some(Keys { user, user_agent }))
    }

    /// What SQL needs to know.
    pub(in crate::store) fn conditions(&self, filter: &SessionFilter, keys: Keys) -> Conditions {
        self.conditions_for(filter, keys, Reach::Table)
    }

    /// The same, for few rows that are found otherwise: each is looked at by itself.
    pub(in crate::store) fn row_conditions(&self, filter: &SessionFilter, keys: Keys) -> Conditions {
        self.conditions_for(filter, keys, Reach::Rows)
    }

    /// The same, for ended sessions under the name `s`; none of them is counted.
    pub(in crate::store) fn ended_conditions(&self, filter: &SessionFilter, keys: Keys) -> Conditions {
        self.conditions_for(filter, keys, Reach::Ended)
    }

    fn conditions_for(&self, filter: &SessionFilter, keys: Keys, reach: Reach) -> Conditions {
        let Keys { user, user_agent } = keys;
        let mut conditions =
            Conditions { is_one_user: user.is_some(), is_one_user_agent: user_agent.is_some(), ..Conditions::default() };
        let mut counted = vec![CountKey::All];
        if let Some(user) = user {
            conditions.compare("s.user_id", "=", user);
            counted.push(CountKey::User(user.0));
        }
        if let Some(id) = user_agent {
            conditions.compare("s.user_agent_id", "=", id);
            counted.push(CountKey::UserAgent(id));
        }
        if let Some(country) = &filter.country {
            conditions.compare("s.country", "=", country);
            counted.push(CountKey::Country(country.clone()));
        }
        if let Some(asn) = filter.asn {
            conditions.compare("s.asn", "=", asn);
            counted.push(CountKey::Asn(Some(asn)));
        }
        let counted_conditions = conditions.sql.len();

        if let Some(ip) = filter.last_ip {
            conditions.compare("s.last_ip_key", "=", ip.sort_key());
        }
        if let Some(network) = filter.network {
            let (low, high) = network.key_range();
            conditions.compare("s.last_ip_key", ">=", low);
            conditions.compare("s.last_ip_key", "<=", high);
        }
        let times = [
            ("s.last_used_at", ">=", filter.last_used_gte),
            ("s.last_used_at", "<=", filter.last_used_lte),
            ("s.expires_at", ">=", filter.expires_gte),
            ("s.expires_at", "<=", filter.expires_lte),
        ];
        for (column, operator, time) in times {
            if let Some(time) = time {
                conditions.compare(column, operator, time);
            }
        }
        let families = [("browser", &filter.browser), ("os", &filter.os), ("device", &filter.device)];
        for (column, family) in families {
            if let Some(family) = family {
                let placeholder = conditions.bind(family);
                conditions.sql.push(match reach {
                    Reach::Table | Reach::Ended => {
                        format!("s.user_agent_id IN (SELECT id FROM user_agents WHERE {column} = {placeholder})")
                    }
                    Reach::Rows => format!("(SELECT {column} FROM user_agents WHERE id = s.user_agent_id) = {placeholder}"),
                });
            }
        }
        if let Some(except) = filter.except {
            conditions.compare("s.uuid", "<>", except);
        }
        for term in &filter.search {
            let placeholder = conditions.bind(term);
            let sql = match reach {
                Reach::Table => self.search_condition(term, &placeholder),
                Reach::Rows => self.row_search_condition(&placeholder),
                Reach::Ended => self.ended_search_condition(&placeholder),
            };
            conditions.sql.push(sql);
        }
        if conditions.sql.len() == counted_conditions && counted.len() <= 2 {
            conditions.counted = counted.pop();
        }
        conditions
    }

    /// Whether a text holds what the placeholder stands for.
    fn holds(&self, text: &str, placeholder: &str) -> String {
        let function = if self.is_sqlite() { "instr" } else { "strpos" };
        format!("{function}({text}, {placeholder}) > 0")
    }

    /// Whether one search term is part of one of a row's three texts.
    fn row_search_condition(&self, placeholder: &str) -> String {
        let texts = [
            "(SELECT username_folded FROM users WHERE id = s.user_id)",
            "(SELECT text_folded FROM user_agents WHERE id = s.user_agent_id)",
            "upper(s.last_ip)",
        ];
        format!("({})", texts.map(|text| self.holds(text, placeholder)).join(" OR "))
    }

    /// Whether one search term is part of one of an ended session's three texts.
    fn ended_search_condition(&self, placeholder: &str) -> String {
        let holds = |text: &str| self.holds(text, placeholder);
        format!(
            "({} OR s.user_agent_id IN (SELECT id FROM user_agents WHERE {}) OR {})",
            holds("s.username_folded"),
            holds("text_folded"),
            holds("upper(s.last_ip)"),
        )
    }

    /// The sessions one search term leads to, through each of the three texts it may be part of.
    fn search_condition(&self, term: &str, placeholder: &str) -> String {
        let holds = |column: &str| self.holds(column, placeholder);
        let mut sql = format!(
            "s.id IN (SELECT id FROM session_rows WHERE user_id IN (SELECT id FROM users WHERE {}) \
             UNION SELECT id FROM session_rows WHERE user_agent_id IN (SELECT id FROM user_agents WHERE {})",
            holds("username_folded"),
            holds("text_folded"),
        );
        if could_be_address(term) {
            sql.push_str(" UNION SELECT id FROM session_rows WHERE ");
            sql.push_str(&holds("upper(last_ip)"));
        }
        sql.push(')');
        sql
    }
}

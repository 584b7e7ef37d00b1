//! Filters of sessions as SQL. Names and user agents are resolved to keys first; a search looks at
//! the small tables (users, user agents) first and unites the sessions that refer to the matches.

use std::sync::Arc;

use crate::domain::UserId;
use crate::domain::listing::SessionFilter;
use crate::domain::search::could_be_address;
use crate::store::db::statements::named;
use crate::store::people::texts::{FOLDED, UserTexts};
use crate::store::sessions::index::Question;
use crate::store::sessions::people::People;
use crate::store::{CountKey, Db, Store, StoreError, Value};

/// Up to this number of sessions, the sessions of one user are filtered one by one.
const SMALL: i64 = 500;

/// A filter as SQL.
#[derive(Default)]
pub(in crate::store) struct Conditions {
    /// Joined by `AND`. Each begins with an expression that has a value, such as a column, a
    /// function or a subquery, so that a `+` may be put before it ([`Conditions::where_clause`]).
    pub sql: Vec<String>,
    pub values: Vec<Value>,
    /// Whether all matching sessions are of one user.
    pub is_one_user: bool,
    /// Whether all matching sessions have one user agent.
    pub is_one_user_agent: bool,
    /// Whether the first condition names one user and SQLite must read by it: it does not know that a user has fewer
    /// sessions than a user agent or a country.
    is_by_user: bool,
    /// The counter that holds the number of matches, if the filter is exactly what it counts.
    pub counted: Option<CountKey>,
}

/// The names of a filter as keys.
#[derive(Clone, Debug)]
pub(in crate::store) struct Keys {
    pub user: Option<UserId>,
    pub user_agent: Option<i64>,
    /// The users that its search looks at, if it does.
    pub people: Option<People>,
}

/// The rows that conditions apply to.
#[derive(Clone, Copy)]
enum Reach {
    /// All sessions: small tables first.
    Table,
    /// A few rows, each filtered by itself.
    Rows,
}

impl Keys {
    pub fn question(&self, filter: &SessionFilter) -> Question {
        // Each index has the sessions of one source.
        let filter = SessionFilter { source: None, ..filter.clone() };
        Question { filter, user: self.user, user_agent_id: self.user_agent, people: self.people.clone() }
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
    /// using its index; before anything else it changes nothing.
    pub fn where_clause(&self, joins: &[&str], is_filter_indexed: bool) -> String {
        let plus = |nth: usize| if is_filter_indexed && (nth == 0 || !self.is_by_user) { "" } else { "+" };
        let filters = self.sql.iter().enumerate().map(|(nth, sql)| format!("{}{sql}", plus(nth)));
        let all: Vec<String> = filters.chain(joins.iter().map(|join| (*join).to_owned())).collect();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    }
}

impl Store {
    /// Resolves names to keys. `None`: nothing can match.
    pub(in crate::store) async fn resolve(&self, filter: &SessionFilter) -> Result<Option<Keys>, StoreError> {
        if !filter.finds_people() {
            return self.read().resolve(filter, self.user_texts()).await;
        }
        // The texts of all users may have to be read.
        let (filter, texts) = (filter.clone(), Arc::clone(self.user_texts()));
        self.long_read(move |db| Box::pin(async move { db.resolve(&filter, &texts).await })).await
    }
}

impl Db<'_> {
    /// Whether all matching sessions are of one user, and at most [`SMALL`].
    pub(in crate::store) async fn is_small(&self, keys: &Keys) -> Result<bool, StoreError> {
        match keys.user {
            Some(user) => Ok(self.count_sessions_of(&CountKey::User(user.0)).await? <= SMALL),
            None => Ok(false),
        }
    }

    /// Resolves names to keys. `None`: nothing can match. Where the search looks at people, it is a long read.
    pub(in crate::store) async fn resolve(
        &self,
        filter: &SessionFilter,
        texts: &Arc<UserTexts>,
    ) -> Result<Option<Keys>, StoreError> {
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
        let people = if filter.finds_people() { Some(People::of(texts, self).await?) } else { None };
        Ok(Some(Keys { user, user_agent, people }))
    }

    /// The conditions of a filter on the view `sessions s`.
    pub(in crate::store) fn conditions(&self, filter: &SessionFilter, keys: &Keys) -> Conditions {
        self.conditions_for(filter, keys, Reach::Table)
    }

    /// The same, for a few rows that are listed by their keys: each is filtered by itself.
    pub(in crate::store) fn row_conditions(&self, filter: &SessionFilter, keys: &Keys) -> Conditions {
        self.conditions_for(filter, keys, Reach::Rows)
    }

    fn conditions_for(&self, filter: &SessionFilter, keys: &Keys, reach: Reach) -> Conditions {
        let Keys { user, user_agent, people } = keys;
        let (user, user_agent) = (*user, *user_agent);
        // Of one user, each session is looked at: the small tables have many more rows that match.
        let reach = if user.is_some() { Reach::Rows } else { reach };
        let mut conditions = Conditions {
            is_one_user: user.is_some(),
            is_one_user_agent: user_agent.is_some(),
            is_by_user: user.is_some() && self.is_sqlite(),
            ..Conditions::default()
        };
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
            ("s.created_at", "<=", filter.created_lte),
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
                    Reach::Table => {
                        format!("s.user_agent_id IN (SELECT id FROM user_agents WHERE {column} = {placeholder})")
                    }
                    Reach::Rows => format!("(SELECT {column} FROM user_agents WHERE id = s.user_agent_id) = {placeholder}"),
                });
            }
        }
        self.signed_in_by(&mut conditions, filter);
        if let Some(except) = filter.except {
            conditions.compare("s.uuid", "<>", except);
        }
        for term in &filter.search {
            let placeholder = conditions.bind(term);
            let sql = match (reach, filter.finds_people()) {
                (Reach::Table, finds_people) => {
                    let users = self.users_with(term, &placeholder, (finds_people, people.as_ref()), &mut conditions.values);
                    self.search_condition(term, &placeholder, &users)
                }
                (Reach::Rows, finds_people) => self.row_search_condition(&placeholder, finds_people),
            };
            conditions.sql.push(sql);
        }
        if conditions.sql.len() == counted_conditions && counted.len() <= 2 {
            conditions.counted = counted.pop();
        }
        conditions
    }

    /// Adds the method that sessions `s` were signed in by, if the filter names one.
    pub(in crate::store) fn signed_in_by(&self, conditions: &mut Conditions, filter: &SessionFilter) {
        if let Some(method) = filter.methods {
            // Stored methods are separated by blanks.
            let placeholder = conditions.bind(format!(" {} ", method.as_str()));
            conditions.sql.push(self.holds("' ' || s.methods || ' '", &placeholder));
        }
    }

    /// SQL: whether a text contains the value of a placeholder.
    pub(in crate::store) fn holds(&self, text: &str, placeholder: &str) -> String {
        let function = if self.is_sqlite() { "instr" } else { "strpos" };
        format!("{function}({text}, {placeholder}) > 0")
    }

    /// Whether one search term is part of one of a row's texts.
    fn row_search_condition(&self, placeholder: &str, finds_people: bool) -> String {
        let of_user = |text: &&str| format!("(SELECT {text} FROM users u WHERE u.id = s.user_id)");
        let others = ["(SELECT text_folded FROM user_agents WHERE id = s.user_agent_id)", "upper(s.last_ip)"].map(str::to_owned);
        let texts = texts_of_users(finds_people).iter().map(of_user).chain(others);
        let holds: Vec<String> = texts.map(|text| self.holds(&text, placeholder)).collect();
        format!("({})", holds.join(" OR "))
    }

    /// The condition on `user_id` that one search term is part of what the user is called. Few are named by their keys.
    fn users_with(
        &self,
        term: &str,
        placeholder: &str,
        (finds_people, people): (bool, Option<&People>),
        values: &mut Vec<Value>,
    ) -> String {
        match people.and_then(|people| people.few_with(term)) {
            Some(users) if users.is_empty() => "1 = 0".into(),
            Some(users) => named("user_id", values, &users),
            None => {
                let holds: Vec<String> = texts_of_users(finds_people).iter().map(|text| self.holds(text, placeholder)).collect();
                format!("user_id IN (SELECT u.id FROM users u WHERE {})", holds.join(" OR "))
            }
        }
    }

    /// The sessions that match one search term: of these users, or with it in the user agent or the address.
    fn search_condition(&self, term: &str, placeholder: &str, users: &str) -> String {
        let mut sql = format!(
            "s.id IN (SELECT id FROM session_rows WHERE {users} \
             UNION SELECT id FROM session_rows WHERE user_agent_id IN (SELECT id FROM user_agents WHERE {})",
            self.holds("text_folded", placeholder),
        );
        if could_be_address(term) {
            sql.push_str(" UNION SELECT id FROM session_rows WHERE ");
            sql.push_str(&self.holds("upper(last_ip)", placeholder));
        }
        sql.push(')');
        sql
    }
}

/// What a search looks at of users `u`: the username, or all that a search of people does.
fn texts_of_users(finds_people: bool) -> &'static [&'static str] {
    static USERNAME: [&str; 1] = ["u.username_folded"];
    if finds_people { &FOLDED } else { &USERNAME }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::sqlite::{Sqlite, tests::file};

    #[test]
    fn sqlite_reads_the_sessions_of_one_user_by_the_user() {
        let (_folder, path) = file();
        let sqlite = Sqlite::open(&path).unwrap();
        let db = Db::SqliteRead(&sqlite);
        let filter = SessionFilter { country: Some("DE".into()), search: vec!["CHROME".into()], ..SessionFilter::default() };
        let told = |user| {
            let conditions = db.conditions(&filter, &Keys { user, user_agent: Some(3), people: None });
            conditions.where_clause(&["a.id = s.user_agent_id"], true)
        };
        let of_one = told(Some(UserId(7)));
        assert!(of_one.starts_with(" WHERE s.user_id = $1 AND +s.user_agent_id = $2 AND +s.country = $3 AND +(instr("), "{of_one}");
        assert!(of_one.ends_with(" AND a.id = s.user_agent_id") && !of_one.contains("session_rows"), "{of_one}");
        let of_all = told(None);
        assert!(
            of_all.starts_with(" WHERE s.user_agent_id = $1 AND s.country = $2 AND s.id IN (SELECT id FROM session_rows"),
            "{of_all}"
        );
        assert!(!of_one.contains("email") && !of_all.contains("email"), "a search of people is asked for");
        let filter = SessionFilter { search_people: Some(true), ..filter.clone() };
        let of_people = |conditions: Conditions| conditions.where_clause(&[], true);
        let keys = |user| Keys { user, user_agent: None, people: None };
        for told in [
            of_people(db.conditions(&filter, &keys(Some(UserId(7))))),
            of_people(db.conditions(&filter, &keys(None))),
            of_people(db.row_conditions(&filter, &keys(None))),
        ] {
            assert!(FOLDED.iter().all(|text| told.contains(text)), "{told}");
        }
    }
}

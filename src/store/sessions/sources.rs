//! What a filter of ended sessions can be read from: which of its parts have an index, and which one is read.

use uuid::Uuid;

use crate::domain::listing::EndedFilter;
use crate::domain::search::could_be_address;
use crate::store::people::texts::UserTexts;
use crate::store::{CountKey, Db, StoreError, Value};

/// The most values that one part is looked up by, such as the users that a word names.
const MOST_BRANCHES: usize = 64;
/// A source with fewer matches than this is read whole.
const FEW: i64 = 1_000;
/// A source that is not in the order of the list is read if it has fewer matches than this: their keys are sorted.
const MOST_UNSORTED: i64 = 25_000;

/// SQL with a `?` for each value.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Text {
    pub sql: String,
    pub values: Vec<Value>,
}

impl Text {
    fn new(sql: impl Into<String>, values: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into(), values: values.into() }
    }

    /// Adds a condition.
    pub fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// The statement with `$1`, `$2` in place of each `?`.
    pub fn numbered(self) -> (String, Vec<Value>) {
        let mut parts = self.sql.split('?');
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for (at, part) in parts.enumerate() {
            sql.push('$');
            sql.push_str(&(at + 1).to_string());
            sql.push_str(part);
        }
        (sql, self.values)
    }
}

/// One filter: as a condition on a row `s`, and as conditions that each read one index.
#[derive(Clone, Debug)]
pub(in crate::store) struct Part {
    pub row: Text,
    /// Empty: no index has it.
    branches: Vec<Text>,
    /// Whether each branch is in the order of the list.
    is_sorted: bool,
    /// The index to read, where SQLite would choose another one.
    index: &'static str,
}

/// The parts of a filter, all of which apply.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Sources {
    pub parts: Vec<Part>,
    /// The counter that holds the number of matches, times of ends left aside.
    pub counted: Option<CountKey>,
}

impl Sources {
    /// A filter that an index has, in the order of the list.
    fn equal(&mut self, sql: &str, value: impl Into<Value>) {
        let row = Text::new(sql, [value.into()]);
        self.parts.push(Part { branches: vec![row.clone()], row, is_sorted: true, index: "" });
    }

    /// A filter that is checked row by row.
    fn check(&mut self, sql: impl Into<String>, values: impl Into<Vec<Value>>) {
        self.parts.push(Part { row: Text::new(sql, values), branches: Vec::new(), is_sorted: false, index: "" });
    }

    /// A span of values of an indexed column.
    fn span(&mut self, index: &'static str, sql: &str, values: impl Into<Vec<Value>>) {
        let row = Text::new(sql, values);
        self.parts.push(Part { branches: vec![row.clone()], row, is_sorted: false, index });
    }

    /// A filter that any of these values of indexed columns meets.
    fn any(&mut self, row: Text, branches: Vec<Text>) {
        let branches = if branches.len() <= MOST_BRANCHES { branches } else { Vec::new() };
        self.parts.push(Part { row, branches, is_sorted: true, index: "" });
    }

    /// The first keys, within these bounds, of the part at `chosen`; `None`: of all ended sessions.
    pub fn candidates(&self, chosen: Option<usize>, bounds: &Text, limit: i64, is_sqlite: bool) -> Text {
        let part = chosen.and_then(|at| self.parts.get(at));
        let branches = part.map(|part| part.branches.as_slice()).unwrap_or_default();
        let index = part.map(|part| part.index).filter(|index| is_sqlite && !index.is_empty());
        let by = index.map(|index| format!(" INDEXED BY {index}")).unwrap_or_default();
        let read = |branch: Option<&Text>| {
            let mut condition = branch.cloned().unwrap_or_default();
            if !bounds.sql.is_empty() {
                condition.and(&bounds.sql, bounds.values.iter().cloned());
            }
            let clause = if condition.sql.is_empty() { String::new() } else { format!(" WHERE {}", condition.sql) };
            let sql = format!(
                "SELECT s.ended_at, s.id FROM ended_sessions s{by}{clause} ORDER BY s.ended_at DESC, s.id DESC LIMIT {limit}"
            );
            Text::new(sql, condition.values)
        };
        match branches {
            [] => read(None),
            [one] => read(Some(one)),
            many => {
                let read: Vec<Text> = many.iter().map(|branch| read(Some(branch))).collect();
                let all: Vec<String> =
                    read.iter().enumerate().map(|(n, branch)| format!("SELECT * FROM ({}) AS b{n}", branch.sql)).collect();
                let sql = format!(
                    "SELECT ended_at, id FROM ({}) AS merged ORDER BY ended_at DESC, id DESC LIMIT {limit}",
                    all.join(" UNION ")
                );
                Text::new(sql, read.into_iter().flat_map(|branch| branch.values).collect::<Vec<_>>())
            }
        }
    }
}

impl Db<'_> {
    /// Which part to read: the one with the fewest matches within these bounds. `None`: all ended sessions, in order.
    pub(in crate::store) async fn choose_source(&self, parts: &[Part], bounds: &Text) -> Result<Option<usize>, StoreError> {
        let with_index: Vec<(usize, &Part)> = parts.iter().enumerate().filter(|(_, part)| !part.branches.is_empty()).collect();
        if let [(at, part)] = with_index[..]
            && part.is_sorted
        {
            return Ok(Some(at));
        }
        let mut best: Option<(i64, usize)> = None;
        for (at, part) in with_index {
            let most = if part.is_sorted { FEW } else { MOST_UNSORTED };
            let count = self.count_up_to(part, bounds, most).await?;
            // Among those with many matches, the one that is in order.
            let rank = if count < FEW {
                count
            } else if part.is_sorted {
                FEW
            } else {
                count.saturating_add(FEW)
            };
            let is_readable = part.is_sorted || count < MOST_UNSORTED;
            if is_readable && best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, at));
            }
        }
        Ok(best.map(|(_, at)| at))
    }

    /// How many rows a part's branches have within these bounds; at most `most`.
    async fn count_up_to(&self, part: &Part, bounds: &Text, most: i64) -> Result<i64, StoreError> {
        let mut count = 0;
        for branch in &part.branches {
            let mut condition = branch.clone();
            if !bounds.sql.is_empty() {
                condition.and(&bounds.sql, bounds.values.iter().cloned());
            }
            let sql = format!(
                "SELECT count(*) FROM (SELECT s.ended_at FROM ended_sessions s WHERE {} LIMIT {}) AS counted",
                condition.sql,
                most - count
            );
            let (sql, values) = Text::new(sql, condition.values).numbered();
            count += self.one::<i64>(&sql, &values).await?.unwrap_or(0);
            if count >= most {
                break;
            }
        }
        Ok(count)
    }

    /// The parts of a filter, without the times of the end. `None`: nothing can match.
    pub(in crate::store) async fn ended_sources(
        &self,
        filter: &EndedFilter,
        texts: &UserTexts,
    ) -> Result<Option<Sources>, StoreError> {
        let session = &filter.session;
        let mut all = Sources::default();
        let mut user: Option<Uuid> = None;
        for id in [session.visible_to, session.user].into_iter().flatten() {
            // History names users by uuid. The key of a filter names the user who has it now.
            let Some(uuid) = self.find_user_uuid(id).await? else { return Ok(None) };
            if user.is_some_and(|other| other != uuid) {
                return Ok(None);
            }
            user = Some(uuid);
        }
        if let Some(uuid) = user {
            all.equal("s.user_uuid = ?", uuid);
        }
        let is_of_user_at_most = EndedFilter {
            session: crate::domain::listing::SessionFilter {
                visible_to: session.visible_to,
                user: session.user,
                ..Default::default()
            },
            ended_gte: filter.ended_gte,
            ended_lte: filter.ended_lte,
            ..EndedFilter::default()
        };
        all.counted = (*filter == is_of_user_at_most).then(|| counter(user));
        if let Some(username) = &session.username {
            all.equal("s.username = ?", username);
        }
        if let Some(text) = &session.user_agent {
            let Some(id) = self.find_user_agent_id(text).await? else { return Ok(None) };
            all.equal("s.user_agent_id = ?", id);
        }
        if let Some(ip) = session.last_ip {
            all.equal("s.last_ip_key = ?", ip.sort_key());
        }
        if let Some(asn) = session.asn {
            all.equal("s.asn = ?", asn);
        }
        if let Some(name) = &filter.ended_by {
            all.equal("s.ended_by_name = ?", name);
        }
        if let Some(country) = &session.country {
            all.equal("s.country = ?", country);
        }
        if let Some(reason) = filter.reason {
            all.equal("s.reason = ?", reason.as_str());
        }
        if let Some(network) = session.network {
            let (low, high) = network.key_range();
            all.span("ended_sessions_by_last_ip", "s.last_ip_key BETWEEN ? AND ?", [low.into(), high.into()]);
        }
        self.add_families(filter, &mut all).await?;
        Self::add_times(filter, &mut all);
        if let Some(method) = session.methods {
            // Stored methods are separated by blanks.
            all.check(self.contains("' ' || s.methods || ' '"), [format!(" {} ", method.as_str()).into()]);
        }
        if let Some(except) = session.except {
            all.check("s.uuid <> ?", [except.into()]);
        }
        if !session.search.is_empty() {
            texts.refresh(self).await?;
        }
        for term in &session.search {
            self.add_term(term, texts, &mut all).await?;
        }
        Ok(Some(all))
    }

    /// Browser, system and device: by the user agents that have them.
    async fn add_families(&self, filter: &EndedFilter, all: &mut Sources) -> Result<(), StoreError> {
        let session = &filter.session;
        for (column, family) in [("browser", &session.browser), ("os", &session.os), ("device", &session.device)] {
            let Some(family) = family else { continue };
            let sql = format!("SELECT id FROM user_agents WHERE {column} = $1 LIMIT {}", MOST_BRANCHES + 1);
            let agents: Vec<i64> = self.all(&sql, &[family.into()]).await?;
            let row = Text::new(format!("(SELECT {column} FROM user_agents WHERE id = s.user_agent_id) = ?"), [family.into()]);
            all.any(row, agents.into_iter().map(of_agent).collect());
        }
        Ok(())
    }

    fn add_times(filter: &EndedFilter, all: &mut Sources) {
        let session = &filter.session;
        match (session.last_used_gte, session.last_used_lte) {
            (Some(from), Some(to)) => {
                all.span("ended_sessions_by_last_use", "s.last_used_at BETWEEN ? AND ?", [from.into(), to.into()]);
            }
            (Some(from), None) => all.check("s.last_used_at >= ?", [from.into()]),
            (None, Some(to)) => all.check("s.last_used_at <= ?", [to.into()]),
            (None, None) => {}
        }
        for (sql, at) in [("s.expires_at >= ?", session.expires_gte), ("s.expires_at <= ?", session.expires_lte)] {
            if let Some(at) = at {
                all.check(sql, [at.into()]);
            }
        }
    }

    /// A word: part of the username then, of the user's name or e-mail address now, of the user agent or of the address.
    async fn add_term(&self, term: &str, texts: &UserTexts, all: &mut Sources) -> Result<(), StoreError> {
        let holds = |text: &str| self.contains(text);
        let mut row = vec![
            holds("s.username_folded"),
            format!("(SELECT {} FROM user_agents WHERE id = s.user_agent_id)", holds("text_folded")),
            format!(
                "EXISTS (SELECT 1 FROM users u WHERE u.uuid = s.user_uuid AND ({} OR {} OR {}))",
                holds("u.username_folded"),
                holds("u.email_folded"),
                holds("COALESCE(u.name_folded, upper(u.name))")
            ),
        ];
        let is_address = is_part_of_address(term);
        if is_address {
            row.push(holds("upper(s.last_ip)"));
        }
        let sql = format!("({})", row.join(" OR "));
        let values = vec![Value::from(term); sql.matches('?').count()];
        let mut branches = Vec::new();
        if !is_address {
            let sql = format!("SELECT id FROM user_agents WHERE {} LIMIT {}", holds("text_folded"), MOST_BRANCHES + 1);
            let agents: Vec<i64> = self.all(&sql.replace('?', "$1"), &[term.into()]).await?;
            branches.extend(agents.into_iter().map(of_agent));
            let users = texts.uuids_with(term, MOST_BRANCHES + 1);
            branches.extend(users.into_iter().map(|uuid| Text::new("s.user_uuid = ?", [uuid.into()])));
            if branches.is_empty() {
                branches.push(Text::new("1 = 0", []));
            }
        }
        all.any(Text::new(sql, values), branches);
        Ok(())
    }

    /// SQL: whether a text contains the value.
    fn contains(&self, text: &str) -> String {
        format!("{}({text}, ?) > 0", if self.is_sqlite() { "instr" } else { "strpos" })
    }
}

fn of_agent(id: i64) -> Text {
    Text::new("s.user_agent_id = ?", [id.into()])
}

/// Whether a word is looked for in addresses: with a dot or a colon, or of digits alone. A word such as `fade`
/// could be part of an IPv6 address too, but is meant as a name.
pub(in crate::store) fn is_part_of_address(term: &str) -> bool {
    could_be_address(term) && (term.contains(['.', ':']) || term.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a counter holds of a filter.
fn counter(user: Option<uuid::Uuid>) -> CountKey {
    user.map_or(CountKey::Ended, CountKey::EndedOfUser)
}

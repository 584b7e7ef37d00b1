//! What a filter can be read from: which of its parts have an index, and which one is read.

use crate::domain::Timestamp;
use crate::store::timeline::text::Text;
use crate::store::timeline::{TimeKey, Timeline};
use crate::store::{Db, StoreError, Value};

/// The most values that one part is looked up by, such as the users that a word names.
pub(in crate::store) const MOST_BRANCHES: usize = 64;
/// A source with fewer matches than this is read whole.
const FEW: i64 = 1_000;
/// A source that is not in the order of the list is read if it has fewer matches than this: their keys are sorted.
const MOST_UNSORTED: i64 = 25_000;

/// One filter: as a condition on a row, and as conditions that each read one index.
#[derive(Clone, Debug)]
pub(in crate::store) struct Part {
    pub row: Text,
    /// Empty: no index has it.
    branches: Vec<Text>,
    /// Whether each branch is in the order of the list.
    is_sorted: bool,
    /// Whether the index of each branch holds all that the branch asks for, and no row is in two branches.
    is_covered: bool,
    /// The index to read, where SQLite would choose another one.
    index: &'static str,
}

/// The parts of a filter, all of which apply.
#[derive(Clone, Debug)]
pub(in crate::store) struct Parts {
    pub line: &'static Timeline,
    pub all: Vec<Part>,
    /// The span of time: conditions on the column of the time.
    pub bounds: Text,
}

impl Parts {
    /// All rows.
    pub fn of(line: &'static Timeline) -> Self {
        Self { line, all: Vec::new(), bounds: Text::default() }
    }

    /// A filter that an index has, in the order of the list.
    pub fn equal(&mut self, sql: &str, value: impl Into<Value>) {
        self.equal_by("", sql, value);
    }

    /// The same by this index, where SQLite might choose another one.
    pub fn equal_by(&mut self, index: &'static str, sql: &str, value: impl Into<Value>) {
        let row = Text::new(sql, [value.into()]);
        self.all.push(Part { branches: vec![row.clone()], row, is_sorted: true, is_covered: true, index });
    }

    /// A filter that is checked row by row.
    pub fn check(&mut self, sql: impl Into<String>, values: impl Into<Vec<Value>>) {
        let row = Text::new(sql, values);
        self.all.push(Part { row, branches: Vec::new(), is_sorted: false, is_covered: false, index: "" });
    }

    /// A span of values of an indexed column, or one value whose index is in another order.
    pub fn span(&mut self, index: &'static str, sql: &str, values: impl Into<Vec<Value>>) {
        let row = Text::new(sql, values);
        self.all.push(Part { branches: vec![row.clone()], row, is_sorted: false, is_covered: false, index });
    }

    /// A filter that a row meets whose indexed column is in a list. What is read of the index is not in the order of the
    /// list.
    pub fn among(&mut self, index: &'static str, row: Text, branch: Text) {
        self.all.push(Part { branches: vec![branch], row, is_sorted: false, is_covered: true, index });
    }

    /// A filter that any of these values of one indexed column meets. The index holds nothing else that is asked for.
    pub fn any_of(&mut self, row: Text, branches: Vec<Text>) {
        self.add_any(row, branches, true);
    }

    /// A filter that any of these conditions meets, each of which has an index. A row may meet several.
    pub fn any(&mut self, row: Text, branches: Vec<Text>) {
        self.add_any(row, branches, false);
    }

    fn add_any(&mut self, row: Text, branches: Vec<Text>, is_covered: bool) {
        let branches = if branches.len() <= MOST_BRANCHES { branches } else { Vec::new() };
        self.all.push(Part { row, branches, is_sorted: true, is_covered, index: "" });
    }

    /// Adds a condition on the time, such as `>=`.
    pub fn bound(&mut self, operator: &str, at: Option<Timestamp>) {
        if let Some(at) = at {
            let Timeline { row, at: column, .. } = self.line;
            self.bounds.and(&format!("{row}.{column} {operator} ?"), [at.into()]);
        }
    }

    /// The same, without what comes before a place and that place.
    pub fn after(&self, place: Option<TimeKey>, is_descending: bool) -> Text {
        let mut text = self.bounds.clone();
        if let Some(TimeKey { at, id }) = place {
            let Timeline { row, at: column, .. } = self.line;
            let turn = if is_descending { "<" } else { ">" };
            text.and(&format!("({row}.{column}, {row}.id) {turn} (?, ?)"), [at.into(), id.into()]);
        }
        text
    }

    fn part(&self, chosen: Option<usize>) -> Option<&Part> {
        chosen.and_then(|at| self.all.get(at))
    }

    /// Whether parts are left that the one at `chosen` does not answer.
    pub fn has_checks(&self, chosen: Option<usize>) -> bool {
        self.all.len() > usize::from(chosen.is_some())
    }

    /// Whether the index of the part at `chosen` alone tells how many rows it has.
    pub fn is_covered(&self, chosen: Option<usize>) -> bool {
        self.part(chosen).is_none_or(|part| part.is_covered)
    }

    /// All parts but the one at `chosen`, as a condition on a row.
    pub fn checks(&self, chosen: Option<usize>) -> Text {
        let mut text = Text::default();
        for (_, part) in self.all.iter().enumerate().filter(|(at, _)| Some(*at) != chosen) {
            text.and_all(&part.row);
        }
        text
    }

    /// Names the index to read, in SQLite's words; `""`: it chooses.
    fn indexed_by(&self, chosen: Option<usize>, is_sqlite: bool) -> String {
        let index = self.part(chosen).map(|part| part.index).filter(|index| is_sqlite && !index.is_empty());
        index.map(|index| format!(" INDEXED BY {index}")).unwrap_or_default()
    }

    /// The keys of the part at `chosen` (`None`: of all rows), each of its branches by itself: statements that end
    /// after their conditions, which `bounds` is one of.
    pub fn branches(&self, chosen: Option<usize>, bounds: &Text, is_sqlite: bool) -> Vec<Text> {
        let (part, by) = (self.part(chosen), self.indexed_by(chosen, is_sqlite));
        let Timeline { table, row, at } = self.line;
        let read = |branch: &Text| {
            let mut condition = branch.clone();
            condition.and_all(bounds);
            let sql = format!("SELECT {row}.{at} AS at, {row}.id AS id FROM {table} {row}{by}{}", condition.clause());
            Text::new(sql, condition.values)
        };
        match part.map(|part| part.branches.as_slice()).unwrap_or_default() {
            [] => vec![read(&Text::default())],
            branches => branches.iter().map(read).collect(),
        }
    }

    /// The first keys of the part at `chosen`, within these bounds and in the order of time, `limit` at most.
    pub fn candidates(&self, chosen: Option<usize>, bounds: &Text, is_descending: bool, limit: i64, is_sqlite: bool) -> Text {
        let turn = if is_descending { " DESC" } else { "" };
        let Timeline { row, at, .. } = self.line;
        if !is_sqlite && let Some(read) = self.lists(chosen, bounds, turn, limit) {
            return self.merged(chosen, read, turn, limit);
        }
        let mut read = self.branches(chosen, bounds, is_sqlite);
        let is_unsorted = self.part(chosen).is_some_and(|part| !part.is_sorted);
        for branch in &mut read {
            if is_unsorted && !is_sqlite {
                // PostgreSQL would rather read the whole table in the order of time: it knows nothing of how a span of one
                // column and the time hang together. It cannot look into a subquery with OFFSET.
                branch.sql =
                    format!("SELECT at, id FROM ({} OFFSET 0) AS span ORDER BY at{turn}, id{turn} LIMIT {limit}", branch.sql);
                continue;
            }
            branch.sql = format!("{} ORDER BY {row}.{at}{turn}, {row}.id{turn} LIMIT {limit}", branch.sql);
        }
        match <[Text; 1]>::try_from(read) {
            Ok([one]) => one,
            Err(many) => self.merged(chosen, many, turn, limit),
        }
    }

    /// The first rows of the part at `chosen`, in SQLite's words: the keys that [`Parts::candidates`] has, each with 1 where
    /// all other parts apply to its row and 0 where not, so that no row is looked up twice. `None`: they are read from more
    /// than one place, or not in the order of time.
    pub fn judged(&self, chosen: Option<usize>, bounds: &Text, is_descending: bool, limit: i64) -> Option<Text> {
        let part = self.part(chosen);
        let mut condition = match part.map(|part| (part.branches.as_slice(), part.is_sorted)) {
            None => Text::default(),
            Some(([branch], true)) => branch.clone(),
            Some(_) => return None,
        };
        condition.and_all(bounds);
        let check = self.checks(chosen);
        let turn = if is_descending { " DESC" } else { "" };
        let Timeline { table, row, at } = self.line;
        let sql = format!(
            "SELECT {row}.{at}, {row}.id, CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT) FROM {table} {row}{}{} \
             ORDER BY {row}.{at}{turn}, {row}.id{turn} LIMIT {limit}",
            check.sql,
            self.indexed_by(chosen, true),
            condition.clause()
        );
        (!check.sql.is_empty()).then(|| Text::new(sql, [check.values, condition.values].concat()))
    }

    /// The first keys of several lists of keys.
    fn merged(&self, chosen: Option<usize>, many: Vec<Text>, turn: &str, limit: i64) -> Text {
        let all: Vec<String> =
            many.iter().enumerate().map(|(n, branch)| format!("SELECT * FROM ({}) AS b{n}", branch.sql)).collect();
        let sql = format!(
            "SELECT at, id FROM ({}) AS merged ORDER BY at{turn}, id{turn} LIMIT {limit}",
            all.join(if self.is_covered(chosen) { " UNION ALL " } else { " UNION " })
        );
        Text::new(sql, many.into_iter().flat_map(|branch| branch.values).collect::<Vec<_>>())
    }

    /// The first keys of each branch of the part at `chosen`, in PostgreSQL's words: the branches with one text are one list
    /// of values, for each of which the index is read. PostgreSQL plans a statement with 30 branches in 3 ms and runs it in
    /// 1.6; with one list, it takes 0.05 and 0.85. `None`: there is one branch at most, or a value is no key.
    pub fn lists(&self, chosen: Option<usize>, bounds: &Text, turn: &str, limit: i64) -> Option<Vec<Text>> {
        let part = self.part(chosen).filter(|part| part.is_sorted && part.branches.len() > 1)?;
        let Timeline { table, row, at } = self.line;
        let mut groups: Vec<(&str, Vec<&Value>)> = Vec::new();
        for branch in &part.branches {
            let [value] = branch.values.as_slice() else { return None };
            match groups.iter_mut().find(|(sql, _)| *sql == branch.sql) {
                Some((_, values)) => values.push(value),
                None => groups.push((&branch.sql, vec![value])),
            }
        }
        let lists = groups.into_iter().map(|(sql, values)| {
            let (array, kind) = array_of(&values)?;
            let mut condition = Text::new(sql.replace('?', "v.value"), []);
            condition.and_all(bounds);
            let sql = format!(
                "SELECT k.at, k.id FROM unnest(CAST(? AS {kind}[])) AS v(value) CROSS JOIN LATERAL (SELECT {row}.{at} AS at, \
                 {row}.id AS id FROM {table} {row}{} ORDER BY {row}.{at}{turn}, {row}.id{turn} LIMIT {limit}) AS k",
                condition.clause()
            );
            Some(Text::new(sql, [vec![array], condition.values].concat()))
        });
        lists.collect()
    }
}

/// Keys as one array, and its type in PostgreSQL.
fn array_of(values: &[&Value]) -> Option<(Value, &'static str)> {
    let uuids = values.iter().map(|value| if let Value::Uuid(uuid) = value { Some(*uuid) } else { None });
    let ints = values.iter().map(|value| if let Value::Int(int) = value { Some(*int) } else { None });
    let uuids = uuids.collect::<Option<Vec<_>>>().map(|all| (Value::Uuids(all), "UUID"));
    uuids.or_else(|| ints.collect::<Option<Vec<_>>>().map(|all| (Value::Ints(all), "BIGINT")))
}

impl Db<'_> {
    /// Which part to read: the one with the fewest matches within the bounds. `None`: all rows, in order.
    pub(in crate::store) async fn choose_source(&self, parts: &Parts, bounds: &Text) -> Result<Option<usize>, StoreError> {
        let with_index: Vec<(usize, &Part)> = parts.all.iter().enumerate().filter(|(_, part)| !part.branches.is_empty()).collect();
        if let [(at, part)] = with_index[..]
            && part.is_sorted
        {
            return Ok(Some(at));
        }
        let mut best: Option<(i64, usize)> = None;
        for (at, part) in with_index {
            let most = if part.is_sorted { FEW } else { MOST_UNSORTED };
            let count = self.count_branches(parts, Some(at), bounds, (most, true)).await?;
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

    /// How many rows the branches of a part have within these bounds, one after the other; at most `most`. `is_usual`:
    /// `most` is one of few numbers. It is a part of the text then, and PostgreSQL plans the statement once.
    pub(in crate::store) async fn count_branches(
        &self,
        parts: &Parts,
        chosen: Option<usize>,
        bounds: &Text,
        (most, is_usual): (i64, bool),
    ) -> Result<i64, StoreError> {
        let mut count = 0;
        for mut branch in parts.branches(chosen, bounds, self.is_sqlite()) {
            if is_usual && count == 0 {
                branch.sql = format!("SELECT count(*) FROM ({} LIMIT {most}) AS counted", branch.sql);
            } else {
                branch.sql = format!("SELECT count(*) FROM ({} LIMIT ?) AS counted", branch.sql);
                branch.values.push((most - count).into());
            }
            let (sql, values) = branch.numbered();
            count += self.one::<i64>(&sql, &values).await?.unwrap_or(0);
            if count >= most {
                break;
            }
        }
        Ok(count)
    }
}

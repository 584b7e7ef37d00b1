//! Statements over many rows, in few shapes: each shape is prepared once on each connection.

use crate::store::db::value::Value;

/// A statement and its parameters.
pub(in crate::store) struct Statement {
    pub sql: String,
    pub values: Vec<Value>,
}

impl Statement {
    pub(in crate::store) fn new(sql: impl Into<String>, values: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into(), values: values.into() }
    }
}

/// Up to this number of rows, a statement is made for exactly that number; above it, for a power of
/// two.
const EXACT: usize = 8;
/// The most rows of one INSERT, and the most when a row has few values.
const ROWS: usize = 64;
const NARROW_ROWS: usize = 512;
/// The most values of a row that has few.
const NARROW: usize = 4;

/// Statements that insert rows: `start` ends in `VALUES `, `end` follows the rows.
pub(in crate::store) fn insert_statements(start: &str, rows: &[Vec<Value>], end: &str) -> Vec<Statement> {
    insert_shaped(start, "", rows, end)
}

/// As [`insert_statements`], for rows that hold expressions: `shape` is one row as SQL, such as
/// `(?, upper(?))`, with a `?` for each parameter.
pub(in crate::store) fn insert_shaped(start: &str, shape: &str, rows: &[Vec<Value>], end: &str) -> Vec<Statement> {
    let is_narrow = rows.first().is_some_and(|row| row.len() <= NARROW);
    let most = if is_narrow { NARROW_ROWS } else { ROWS };
    let (mut statements, mut rows) = (Vec::new(), rows);
    while !rows.is_empty() {
        let (now, later) = rows.split_at(step(rows.len(), most));
        statements.push(many_rows(start, shape, now, end));
        rows = later;
    }
    statements
}

/// The number of rows in the next statement: `length` rows are left, and one statement may have
/// `most`.
pub(in crate::store) fn step(length: usize, most: usize) -> usize {
    if length <= EXACT { length } else { most.min(1 << length.ilog2()) }
}

fn many_rows(start: &str, shape: &str, rows: &[Vec<Value>], end: &str) -> Statement {
    let mut sql = start.to_owned();
    let mut values: Vec<Value> = Vec::new();
    for row in rows {
        sql.push_str(if values.is_empty() { "" } else { ", " });
        if shape.is_empty() {
            for part in ["(", &placeholders(values.len(), row.len()), ")"] {
                sql.push_str(part);
            }
        } else {
            push_shape(&mut sql, shape, values.len());
        }
        values.extend_from_slice(row);
    }
    sql.push_str(end);
    Statement { sql, values }
}

/// Adds one row as SQL, with placeholders after the first `before` in place of its `?`.
fn push_shape(sql: &mut String, shape: &str, before: usize) {
    let mut next = before;
    for (nth, part) in shape.split('?').enumerate() {
        if nth > 0 {
            next += 1;
            sql.push('$');
            sql.push_str(&next.to_string());
        }
        sql.push_str(part);
    }
}

/// `$3, $4, $5`: the placeholders of `count` parameters after the first `before`.
pub(in crate::store) fn placeholders(before: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 5);
    for n in before + 1..=before + count {
        if n > before + 1 {
            text.push_str(", ");
        }
        text.push('$');
        text.push_str(&n.to_string());
    }
    text
}

/// A list for `IN`: its placeholders after the parameters `first`, and all values. Its length is a
/// power of two, with the last value repeated. For no values, it is a list that matches nothing.
pub(in crate::store) fn in_list(
    first: impl Into<Vec<Value>>,
    these: impl IntoIterator<Item = impl Into<Value>>,
) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = first.into();
    let before = values.len();
    values.extend(these.into_iter().map(Into::into));
    if values.len() == before {
        return ("NULL".to_owned(), values);
    }
    let count = (values.len() - before).next_power_of_two();
    values.resize(before + count, values.last().cloned().unwrap_or(Value::Null));
    (placeholders(before, count), values)
}

/// A limit that is at least this one, and one of few: it is a part of a statement's text, and each text is prepared
/// once. PostgreSQL plans a statement that is given the limit as a value for each call.
pub(in crate::store) fn one_of_few(limit: i64) -> i64 {
    limit.clamp(1, 1 << 40).unsigned_abs().next_power_of_two().cast_signed()
}

/// The condition that a column has one of these values, and its values. On PostgreSQL they are one array: the statement
/// has one text, and its plan is kept. PostgreSQL plans a list of many parameters anew for each call, which takes as long
/// as a third of the look-ups.
pub(in crate::store) fn any_of<T: Copy + Into<Value>>(is_sqlite: bool, column: &str, these: &[T]) -> (String, Vec<Value>)
where
    Vec<T>: Into<Value>,
{
    if is_sqlite {
        let (list, values) = in_list([], these.iter().copied());
        return (format!("{column} IN ({list})"), values);
    }
    (format!("{column} = ANY($1)"), vec![these.to_vec().into()])
}

/// `column IN (…)` for these keys, and adds their values. The list has one of few lengths, its last
/// key repeated, so that few statements are prepared.
pub(in crate::store) fn named(column: &str, values: &mut Vec<Value>, ids: &[i64]) -> String {
    const LENGTHS: [usize; 4] = [1, 10, 100, 1000];
    let before = values.len();
    let length = LENGTHS.into_iter().find(|length| *length >= ids.len()).unwrap_or(ids.len());
    let filling = std::iter::repeat_n(ids.last().copied().unwrap_or(0), length - ids.len());
    values.extend(ids.iter().copied().chain(filling).map(Value::from));
    format!("{column} IN ({})", placeholders(before, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    #[test]
    fn many_rows_need_few_shapes() {
        let lengths = |rows: usize| {
            let rows: Vec<_> = (0..rows).map(|n| vec![Value::Text(n.to_string()); 5]).collect();
            let statements = insert_statements("INSERT INTO t VALUES ", &rows, "");
            let values: Vec<_> = statements.iter().flat_map(|statement| statement.values.clone()).collect();
            assert_eq!(values, rows.concat(), "all of them, in their order");
            statements.iter().map(|statement| statement.values.len() / 5).collect::<Vec<_>>()
        };
        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(5), [5]);
        assert_eq!(lengths(13), [8, 5]);
        assert_eq!(lengths(150), [64, 64, 16, 6]);
        let (sql, values) = in_list([Value::Null], [7, 8, 9]);
        assert_eq!((sql.as_str(), values.len()), ("$2, $3, $4, $5", 5));
        assert_eq!(values.first(), Some(&Value::Null));
        assert_eq!(values.last(), Some(&Value::Int(9)));
        assert_eq!(in_list([], [0_i64; 0]), ("NULL".to_owned(), Vec::new()));
    }

    #[test]
    fn any_of_some_values_is_one_array_on_postgres() {
        assert_eq!(
            any_of(true, "u.id", &[7_i64, 8, 9]),
            ("u.id IN ($1, $2, $3, $4)".to_owned(), values![7_i64, 8_i64, 9_i64, 9_i64].to_vec())
        );
        assert_eq!(any_of(false, "u.id", &[7_i64, 8, 9]), ("u.id = ANY($1)".to_owned(), vec![Value::Ints(vec![7, 8, 9])]));
        assert_eq!(any_of(true, "u.id", &[0_i64; 0]).0, "u.id IN (NULL)", "matches nothing");
    }

    #[test]
    fn rows_may_have_a_shape() {
        let rows = vec![values![1_i64, "a"].to_vec(), values![2_i64, "b"].to_vec()];
        let statements = insert_shaped("INSERT INTO t VALUES ", "(?, upper(?))", &rows, " RETURNING id");
        let [Statement { sql, values }] = &statements[..] else { panic!("{} statements", statements.len()) };
        assert_eq!(sql, "INSERT INTO t VALUES ($1, upper($2)), ($3, upper($4)) RETURNING id");
        assert_eq!(values.len(), 4);
    }

    #[test]
    fn lists_of_keys_have_few_lengths() {
        for (count, length) in [(1, 1), (2, 10), (10, 10), (11, 100), (1000, 1000), (1001, 1001)] {
            let ids: Vec<i64> = (1..=count).collect();
            let mut values = values![7_i64].to_vec();
            let sql = named("s.id", &mut values, &ids);
            assert_eq!(values.len(), length + 1);
            assert!(sql.starts_with("s.id IN ($2") && sql.ends_with(&format!("${})", length + 1)), "{sql}");
            assert!(ids.iter().all(|id| values.contains(&Value::Int(*id))));
            assert_eq!(values.last(), Some(&Value::Int(count)), "filled up with what is in it");
        }
    }
}

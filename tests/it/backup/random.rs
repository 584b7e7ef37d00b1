//! Random rows in every table come back from a backup, whichever database they were in and go to.

use std::collections::{BTreeMap, BTreeSet};

use rollcall::store::backup::{Column, ColumnKind, Item, RowSource, SAVED, TableHead};
use rollcall::store::{StoreError, Value, migrations};
use uuid::Uuid;

use super::{heads, make, open, restore, rows};
use crate::support::{Dice, TestDb};

/// What the schema says of a table that a row must keep to.
struct Rules {
    nullable: BTreeSet<String>,
    /// Column and the table that it refers to.
    references: BTreeMap<String, String>,
    unique: Vec<Vec<String>>,
}

impl Rules {
    fn of(connection: &rusqlite::Connection, table: &str) -> Self {
        let all = |sql: &str| -> Vec<(String, String)> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
        };
        let nullable = all("SELECT name, type FROM pragma_table_info(?1) WHERE \"notnull\" = 0 AND pk = 0");
        // A name that is not folded yet is folded after the restore.
        let nullable = nullable.into_iter().map(|(name, _)| name).filter(|name| name != "name_folded").collect();
        let references = all("SELECT \"from\", \"table\" FROM pragma_foreign_key_list(?1)").into_iter().collect();
        let sql = "SELECT i.name, c.name FROM pragma_index_list(?1) i, pragma_index_info(i.name) c \
            WHERE i.\"unique\" = 1 AND c.name IS NOT NULL";
        let mut unique: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (index, column) in all(sql) {
            unique.entry(index).or_default().push(column);
        }
        let key = all("SELECT name, type FROM pragma_table_info(?1) WHERE pk > 0").into_iter().map(|(name, _)| name).collect();
        Self { nullable, references, unique: unique.into_values().chain([key]).collect() }
    }
}

/// Tables full of random rows, as a backup would give them.
struct Random {
    items: std::vec::IntoIter<Item>,
}

impl RowSource for Random {
    type Error = StoreError;

    fn next(&mut self) -> Result<Option<Item>, StoreError> {
        Ok(self.items.next())
    }
}

impl Random {
    fn of(dice: &mut Dice, heads: &[TableHead], schema: &rusqlite::Connection) -> Self {
        let (mut items, mut ids) = (Vec::new(), BTreeMap::<String, Vec<i64>>::new());
        for name in SAVED {
            let head = heads.iter().find(|head| head.name == *name).unwrap().clone();
            let rules = Rules::of(schema, name);
            let mut taken = vec![BTreeSet::new(); rules.unique.len()];
            let mut rows = Vec::new();
            for n in 0..dice.below(12) {
                let row: Vec<Value> = head.columns.iter().map(|column| cell(dice, column, &rules, &ids, n)).collect();
                let of = |columns: &Vec<String>| -> String {
                    let place = |name: &String| head.columns.iter().position(|column| column.name == *name).unwrap();
                    columns.iter().map(|name| format!("{:?} ", row[place(name)])).collect()
                };
                let keys: Vec<String> = rules.unique.iter().map(of).collect();
                let is_new = keys.iter().zip(&taken).all(|(key, taken)| !taken.contains(key));
                let leads_somewhere = rules.references.iter().all(|(column, table)| {
                    let place = head.columns.iter().position(|known| known.name == *column).unwrap();
                    row[place] == Value::Null || ids.get(table).is_some_and(|ids| !ids.is_empty())
                });
                if is_new && leads_somewhere {
                    keys.into_iter().zip(&mut taken).for_each(|(key, taken)| {
                        taken.insert(key);
                    });
                    rows.push(row);
                }
            }
            if let Some(place) = head.columns.iter().position(|column| column.name == "id") {
                let known = rows.iter().map(|row| if let Value::Int(id) = row[place] { id } else { panic!("{row:?}") });
                ids.insert((*name).to_owned(), known.collect());
            }
            // SQLite names no last key of a table that never had a row.
            let is_numbered = head.last_id.is_some() || *name == "users";
            let last_id = is_numbered.then_some(1_000_000);
            items.push(Item::Table(TableHead { last_id, ..head }));
            items.extend(rows.into_iter().map(Item::Row));
        }
        Self { items: items.into_iter() }
    }
}

fn cell(dice: &mut Dice, column: &Column, rules: &Rules, ids: &BTreeMap<String, Vec<i64>>, n: usize) -> Value {
    if rules.nullable.contains(&column.name) && dice.below(3) == 0 {
        return Value::Null;
    }
    if let Some(table) = rules.references.get(&column.name) {
        let known = ids.get(table).filter(|ids| !ids.is_empty());
        return known.map_or(Value::Int(0), |ids| Value::Int(ids[dice.below(ids.len())]));
    }
    match column.kind {
        ColumnKind::Int if column.name == "id" => Value::Int(1 + 1000 * n as i64 + dice.below(1000) as i64),
        ColumnKind::Int => Value::Int(*dice.pick(&[0, 1, -1, i64::MAX, i64::MIN, 1_764_000_000_000_000])),
        ColumnKind::Bool => Value::Bool(dice.below(2) == 0),
        ColumnKind::Text => {
            let tail =
                *dice.pick(&["", "\"quoted\" \\ back", "two\nlines\r\t", "ünï¢ode \u{1f600}\u{2028}", "\u{7f}\u{1}", "null"]);
            Value::Text(format!("{:x}{tail}", dice.below(usize::MAX)))
        }
        ColumnKind::Bytes => Value::Bytes((0..8 + dice.below(40)).map(|_| dice.below(256) as u8).collect()),
        ColumnKind::Uuid => Value::Uuid(Uuid::from_u128(u128::from(dice.below(usize::MAX) as u64) << 64 | n as u128)),
    }
}

/// The tables without the event that each restore adds.
fn without_restores(mut tables: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    tables.get_mut("events").unwrap().retain(|row| !row.contains("kind: Text(\"restored\")"));
    tables
}

db_test!(random_rows_of_every_table_come_back_on_either_database, |db| async move {
    let mut dice = Dice::new();
    let folder = tempfile::tempdir().unwrap();
    let other = TestDb::sqlite();
    let (here, there) = (open(&db.config(&[])).await, open(&other.config(&[])).await);
    let schema = rusqlite::Connection::open(other.dir.path().join("rollcall.db")).unwrap();
    let names: Vec<String> = migrations().iter().map(|migration| migration.name.to_owned()).collect();
    for round in 0..6 {
        let mut random = Random::of(&mut dice, &heads(&there).await, &schema);
        let with = names.clone();
        here.write_much(move |db| Box::pin(async move { db.restore(&with, &mut random).await })).await.unwrap();
        let first = folder.path().join(format!("{round}.first"));
        let before = rows(&here).await;
        assert_eq!(
            make(&here, &first).await.rows.values().sum::<u64>(),
            before.values().map(|rows| rows.len() as u64).sum::<u64>()
        );
        // To SQLite, and from there to where they came from, which has other rows by then.
        restore(&there, &first, true).await.unwrap();
        assert_eq!(without_restores(rows(&there).await), without_restores(before.clone()), "round {round}");
        let second = folder.path().join(format!("{round}.second"));
        make(&there, &second).await;
        let mut others = Random::of(&mut dice, &heads(&there).await, &schema);
        let with = names.clone();
        here.write_much(move |db| Box::pin(async move { db.restore(&with, &mut others).await })).await.unwrap();
        restore(&here, &second, true).await.unwrap();
        assert_eq!(without_restores(rows(&here).await), without_restores(before.clone()), "round {round}");
        // And from a database to itself.
        restore(&here, &first, true).await.unwrap();
        assert_eq!(without_restores(rows(&here).await), without_restores(before), "round {round}");
        let last: i64 = heads(&here).await.iter().find(|head| head.name == "users").unwrap().last_id.unwrap();
        assert_eq!(last, 1_000_000, "no key is given again");
    }
});

db_test!(both_databases_call_their_columns_alike, |db| async move {
    let other = TestDb::sqlite();
    let (here, there) = (open(&db.config(&[])).await, open(&other.config(&[])).await);
    let shape = |heads: Vec<TableHead>| heads.into_iter().map(|head| (head.name, head.columns)).collect::<Vec<_>>();
    let heads = heads(&here).await;
    assert_eq!(heads.iter().map(|head| head.name.as_str()).collect::<Vec<_>>(), SAVED, "all of them are there");
    assert_eq!(shape(heads), shape(super::heads(&there).await));
});

//! Puts the rows of a backup back, inside one transaction: the schema is made as the backup had it, filled, and
//! brought up to date.

use std::pin::pin;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;

use crate::store::backup::read::{postgres_columns, sqlite_columns};
use crate::store::backup::tables::{Column, ColumnKind, SAVED, TableHead, made};
use crate::store::db::{migrate, sqlite};
use crate::store::{Db, StoreError, Value};

/// What a backup holds after its head.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A table begins.
    Table(TableHead),
    /// A row of the table that began last: as many values as it has columns.
    Row(Vec<Value>),
}

/// What gives the rows of a backup.
pub trait RowSource: Send + 'static {
    /// Why it cannot.
    type Error: From<StoreError> + Send + 'static;

    /// The next table or row; `None` after the last one.
    ///
    /// # Errors
    /// When the backup cannot be read.
    fn next(&mut self) -> Result<Option<Item>, Self::Error>;
}

/// What is dropped while tables are filled, and made again: an index is made faster than it is kept up, and a
/// trigger would change rows that the backup holds.
struct Put(Vec<String>);

impl Db<'_> {
    /// Drops all tables of Rollcall, makes those of these migrations, fills them with what `source` gives, and
    /// applies the migrations that are missing.
    ///
    /// # Errors
    /// When a row does not fit or contradicts another one, and any error of the source. Nothing may be committed
    /// then.
    pub async fn restore<S: RowSource>(&self, names: &[String], source: &mut S) -> Result<(), S::Error> {
        migrate::lock(self).await?;
        self.drop_schema().await?;
        migrate::apply_named(self, names).await?;
        match self {
            Self::SqliteWrite(connection, _) => fill_sqlite(&sqlite::lock(connection), source)?,
            Self::PostgresWrite(client, _) => fill_postgres(client, source).await?,
            Self::SqliteRead(_) | Self::PostgresRead(_) => {
                return Err(StoreError::Failed("a write outside a transaction".into()).into());
            }
        }
        migrate::apply(self).await?;
        Ok(())
    }

    /// How many users there are, in a schema of any version.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_all_users(&self) -> Result<i64, StoreError> {
        Ok(self.one::<i64>("SELECT count(*) FROM users", &[]).await?.unwrap_or(0))
    }

    /// How many sessions there are, and how many users have them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_sessions_and_owners(&self) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT count(*), count(DISTINCT user_id) FROM sessions";
        Ok(self.one::<(i64, i64)>(sql, &[]).await?.unwrap_or_default())
    }

    /// Drops what the migrations made.
    async fn drop_schema(&self) -> Result<(), StoreError> {
        if !self.is_sqlite() {
            let list = |thing| made(thing, |migration| migration.postgres).into_iter().collect::<Vec<_>>().join(", ");
            // Not CASCADE: a view that somebody else made stops it.
            return self
                .batch(&format!(
                    "DROP VIEW IF EXISTS {}; DROP TABLE IF EXISTS migrations, {}; DROP FUNCTION IF EXISTS {}",
                    list("VIEW"),
                    list("TABLE"),
                    list("FUNCTION")
                ))
                .await;
        }
        let found: Vec<(String, String)> = self
            .all(
                "SELECT type, name FROM sqlite_schema WHERE type IN ('view', 'table') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
                &[],
            )
            .await?;
        let of =
            |kind: &str| found.iter().filter(move |(found, _)| found == kind).map(|(_, name)| name.as_str()).collect::<Vec<_>>();
        for view in of("view") {
            self.batch(&format!("DROP VIEW \"{view}\"")).await?;
        }
        // Those that refer to others first: the rows of a table are deleted before it is dropped, and foreign keys
        // are checked.
        let mut tables = of("table");
        tables.sort_by_key(|table| std::cmp::Reverse(SAVED.iter().position(|saved| saved == table).unwrap_or(SAVED.len())));
        for table in tables {
            self.batch(&format!("DROP TABLE \"{table}\"")).await?;
        }
        Ok(())
    }
}

/// The columns of a table in the order of the backup.
///
/// # Errors
/// When the table is none of those that are saved, or has other columns.
fn match_columns(head: &TableHead, there: &[Column]) -> Result<Vec<ColumnKind>, StoreError> {
    if !SAVED.contains(&head.name.as_str()) || head.columns.len() != there.len() {
        return Err(StoreError::Corrupt("a table of another schema"));
    }
    let kind_of = |column: &Column| there.iter().find(|known| known.name == column.name).map(|known| known.kind);
    head.columns.iter().map(|column| kind_of(column).ok_or(StoreError::Corrupt("a column of another schema"))).collect()
}

fn fit(kinds: &[ColumnKind], row: Vec<Value>) -> Result<Vec<Value>, StoreError> {
    if row.len() != kinds.len() {
        return Err(StoreError::Corrupt("a row of another length"));
    }
    let fitted = kinds.iter().zip(row).map(|(kind, value)| kind.fit(value).ok_or(StoreError::Corrupt("a value of another kind")));
    fitted.collect()
}

fn row_without_table() -> StoreError {
    StoreError::Corrupt("a row before its table")
}

impl Put {
    fn away(connection: &rusqlite::Connection) -> Result<Self, StoreError> {
        let sql = "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL";
        let mut statement = connection.prepare(sql)?;
        let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let found: Vec<(String, String, String)> = found.collect::<Result<_, _>>()?;
        for (kind, name, _) in &found {
            connection.execute_batch(&format!("DROP {kind} \"{name}\""))?;
        }
        Ok(Self(found.into_iter().map(|(_, _, sql)| sql).collect()))
    }

    fn back(self, connection: &rusqlite::Connection) -> Result<(), StoreError> {
        self.0.iter().try_for_each(|sql| Ok(connection.execute_batch(sql)?))
    }
}

fn fill_sqlite<S: RowSource>(connection: &rusqlite::Connection, source: &mut S) -> Result<(), S::Error> {
    let failed = StoreError::from;
    let put = Put::away(connection)?;
    for table in SAVED.iter().rev() {
        if !sqlite_columns(connection, table)?.is_empty() {
            connection.execute_batch(&format!("DELETE FROM {table}")).map_err(failed)?;
        }
    }
    let mut item = source.next()?;
    while let Some(next) = item.take() {
        let Item::Table(head) = next else { return Err(row_without_table().into()) };
        let kinds = match_columns(&head, &sqlite_columns(connection, &head.name)?)?;
        let places = (1..=kinds.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", head.name, head.names());
        let mut statement = connection.prepare(&sql).map_err(failed)?;
        item = loop {
            match source.next()? {
                Some(Item::Row(row)) => {
                    statement.execute(rusqlite::params_from_iter(fit(&kinds, row)?)).map_err(failed)?;
                }
                other => break other,
            }
        };
        if let Some(last) = head.last_id {
            let changed = connection
                .execute("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1", rusqlite::params![head.name, last])
                .map_err(failed)?;
            if changed == 0 {
                let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
                connection.execute(sql, rusqlite::params![head.name, last]).map_err(failed)?;
            }
        }
    }
    put.back(connection)?;
    Ok(())
}

async fn fill_postgres<S: RowSource>(client: &deadpool_postgres::Object, source: &mut S) -> Result<(), S::Error> {
    let failed = |error: tokio_postgres::Error| StoreError::from(error);
    let mut there = Vec::new();
    for table in SAVED {
        let (columns, is_numbered) = postgres_columns(client, table).await?;
        if !columns.is_empty() {
            there.push((*table, columns, is_numbered));
        }
    }
    let switch = |switch: &str| {
        there.iter().map(|(table, ..)| format!("ALTER TABLE {table} {switch} TRIGGER USER;")).collect::<Vec<_>>().concat()
    };
    client.batch_execute(&switch("DISABLE")).await.map_err(failed)?;
    let empty: Vec<String> = there.iter().rev().map(|(table, ..)| format!("DELETE FROM {table};")).collect();
    client.batch_execute(&empty.concat()).await.map_err(failed)?;
    let mut item = source.next()?;
    while let Some(next) = item.take() {
        let Item::Table(head) = next else { return Err(row_without_table().into()) };
        let found = there.iter().find(|(table, ..)| *table == head.name);
        let (_, columns, is_numbered) = found.ok_or(StoreError::Corrupt("a table of another schema"))?;
        let kinds = match_columns(&head, columns)?;
        let types: Vec<Type> = kinds.iter().map(|kind| postgres_type(*kind)).collect();
        let sql = format!("COPY {} ({}) FROM STDIN BINARY", head.name, head.names());
        let sink = client.copy_in(&sql).await.map_err(failed)?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        item = loop {
            match source.next()? {
                Some(Item::Row(row)) => {
                    let row = fit(&kinds, row)?;
                    writer.as_mut().write_raw(row.iter()).await.map_err(failed)?;
                }
                other => break other,
            }
        };
        writer.as_mut().finish().await.map_err(failed)?;
        if *is_numbered {
            let sql = format!(
                "SELECT setval(CAST(pg_get_serial_sequence('{table}', 'id') AS regclass), GREATEST(last, 1), last > 0) \
                 FROM (SELECT GREATEST($1, (SELECT COALESCE(MAX(id), 0) FROM {table})) AS last) AS known",
                table = head.name
            );
            client.query(&sql, &[&head.last_id.unwrap_or(0)]).await.map_err(failed)?;
        }
    }
    client.batch_execute(&switch("ENABLE")).await.map_err(failed)?;
    Ok(())
}

fn postgres_type(kind: ColumnKind) -> Type {
    match kind {
        ColumnKind::Int => Type::INT8,
        ColumnKind::Bool => Type::BOOL,
        ColumnKind::Text => Type::TEXT,
        ColumnKind::Bytes => Type::BYTEA,
        ColumnKind::Uuid => Type::UUID,
    }
}

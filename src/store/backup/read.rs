//! Reads every saved table in one snapshot, row by row.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use crate::store::backup::tables::{Column, ColumnKind, SAVED, TableHead};
use crate::store::db::{postgres, sqlite};
use crate::store::{Database, Store, StoreError};

/// A value of a row that is being read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID.
    Uuid(Uuid),
}

/// What takes the rows of a snapshot.
pub trait RowSink: Send + 'static {
    /// Why it stops taking them.
    type Error: From<StoreError> + Send + 'static;

    /// The snapshot begins; the database has these migrations.
    ///
    /// # Errors
    /// What the sink cannot do. It ends the snapshot; so it is for the other methods.
    fn begin(&mut self, migrations: &[String]) -> Result<(), Self::Error>;

    /// A table begins.
    ///
    /// # Errors
    /// What the sink cannot do.
    fn table(&mut self, head: &TableHead) -> Result<(), Self::Error>;

    /// A row of the table that began last.
    ///
    /// # Errors
    /// What the sink cannot do.
    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), Self::Error>;
}

impl Store {
    /// Reads all saved tables as they were at one instant, on a connection of its own, and gives the sink back.
    /// Others read and write at the same time. Memory does not grow with the number of rows.
    ///
    /// # Errors
    /// When a row cannot be read, and any error of the sink.
    pub async fn snapshot<S: RowSink>(&self, mut sink: S) -> Result<S, S::Error> {
        match &self.database {
            Database::Sqlite(sqlite) => {
                let connection = sqlite.connect_reader()?;
                let reading = tokio::task::spawn_blocking(move || {
                    read_sqlite(&connection, &mut sink)?;
                    Ok(sink)
                });
                reading.await.map_err(|error| StoreError::Failed(error.to_string()))?
            }
            Database::Postgres(postgres) => {
                read_postgres(postgres, &mut sink).await?;
                Ok(sink)
            }
        }
    }

    /// How large the database is, in bytes: tables and indexes.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn size(&self) -> Result<i64, StoreError> {
        let sql = match &self.database {
            Database::Sqlite(_) => "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            Database::Postgres(_) => {
                "SELECT CAST(COALESCE(SUM(pg_total_relation_size(c.oid)), 0) AS BIGINT) FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = ANY (current_schemas(false))"
            }
        };
        Ok(self.read().one::<i64>(sql, &[]).await?.unwrap_or(0))
    }
}

fn unknown_type(table: &str, column: &str, found: &str) -> StoreError {
    StoreError::Failed(format!("{table}.{column} is of the type {found}, which no backup holds"))
}

/// The columns of a table; empty when there is no such table.
pub(super) fn sqlite_columns(connection: &rusqlite::Connection, table: &str) -> Result<Vec<Column>, StoreError> {
    // Generated columns are not in it.
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
    let found = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found
        .map(|row| {
            let (name, declared): (String, String) = row?;
            let kind = ColumnKind::in_sqlite(&declared, &name).ok_or_else(|| unknown_type(table, &name, &declared))?;
            Ok(Column { name, kind })
        })
        .collect()
}

fn read_sqlite<S: RowSink>(connection: &rusqlite::Connection, sink: &mut S) -> Result<(), S::Error> {
    let failed = StoreError::from;
    connection.execute_batch("BEGIN").map_err(failed)?;
    // The first read begins the snapshot.
    sink.begin(&sqlite::all(connection, "SELECT name FROM migrations ORDER BY name", &[])?)?;
    for table in SAVED {
        let columns = sqlite_columns(connection, table)?;
        if columns.is_empty() {
            continue;
        }
        let last_ids: Vec<i64> = sqlite::all(connection, "SELECT seq FROM sqlite_sequence WHERE name = $1", &[(*table).into()])?;
        let head = TableHead { name: (*table).to_owned(), columns, last_id: last_ids.first().copied() };
        sink.table(&head)?;
        let mut statement = connection.prepare(&format!("SELECT {} FROM {table}", head.names())).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let mut cells = Vec::with_capacity(head.columns.len());
            for (place, column) in head.columns.iter().enumerate() {
                cells.push(sqlite_cell(column, row.get_ref(place).map_err(failed)?).ok_or(StoreError::Corrupt("a value"))?);
            }
            sink.row(&cells)?;
        }
    }
    connection.execute_batch("COMMIT").map_err(failed)?;
    Ok(())
}

fn sqlite_cell<'a>(column: &Column, value: ValueRef<'a>) -> Option<Cell<'a>> {
    Some(match (value, column.kind) {
        (ValueRef::Null, _) => Cell::Null,
        (ValueRef::Integer(n @ (0 | 1)), ColumnKind::Bool) => Cell::Bool(n == 1),
        (ValueRef::Integer(n), ColumnKind::Int) => Cell::Int(n),
        (ValueRef::Text(text), ColumnKind::Text) => Cell::Text(std::str::from_utf8(text).ok()?),
        (ValueRef::Blob(bytes), ColumnKind::Bytes) => Cell::Bytes(bytes),
        (ValueRef::Blob(bytes), ColumnKind::Uuid) => Cell::Uuid(Uuid::from_slice(bytes).ok()?),
        _ => return None,
    })
}

/// The columns of a table, and whether its `id` is numbered; empty when there is no such table.
pub(super) async fn postgres_columns(client: &tokio_postgres::Client, table: &str) -> Result<(Vec<Column>, bool), StoreError> {
    let sql = "SELECT CAST(a.attname AS TEXT), CAST(t.typname AS TEXT), a.attname = 'id' AND a.attidentity <> '' \
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
        WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum";
    let (mut columns, mut is_numbered) = (Vec::new(), false);
    for row in client.query(sql, &[&table]).await? {
        let (name, type_name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        is_numbered |= row.try_get::<_, bool>(2)?;
        let kind = ColumnKind::in_postgres(&type_name).ok_or_else(|| unknown_type(table, &name, &type_name))?;
        columns.push(Column { name, kind });
    }
    Ok((columns, is_numbered))
}

async fn read_postgres<S: RowSink>(database: &postgres::Postgres, sink: &mut S) -> Result<(), S::Error> {
    let failed = |error: tokio_postgres::Error| StoreError::from(error);
    // Not of the pool any more: where this fails, the connection is closed, and the transaction ends with it.
    let client = deadpool_postgres::Object::take(database.client().await?);
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(failed)?;
    let names = client.query("SELECT name FROM migrations ORDER BY name", &[]).await.map_err(failed)?;
    let migrations: Vec<String> = names.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
    sink.begin(&migrations)?;
    let sql = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = ANY (current_schemas(false))";
    let found = client.query(sql, &[]).await.map_err(failed)?;
    let found: BTreeSet<String> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(failed)?;
    for table in SAVED.iter().filter(|table| found.contains(**table)) {
        let (columns, is_numbered) = postgres_columns(&client, table).await?;
        let last_id = if is_numbered { Some(last_id(&client, table).await?) } else { None };
        let head = TableHead { name: (*table).to_owned(), columns, last_id };
        sink.table(&head)?;
        let sql = format!("SELECT {} FROM {table}", head.names());
        let none: [&str; 0] = [];
        let mut rows = pin!(client.query_raw(&sql, none).await.map_err(failed)?);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let mut cells = Vec::with_capacity(head.columns.len());
            for (place, column) in head.columns.iter().enumerate() {
                cells.push(postgres_cell(column, &row, place).map_err(failed)?);
            }
            sink.row(&cells)?;
        }
    }
    client.batch_execute("COMMIT").await.map_err(failed)?;
    Ok(())
}

/// The greatest key that a table's sequence gave. It is read outside of the snapshot, so it may be greater than
/// the greatest key of a row.
async fn last_id(client: &tokio_postgres::Client, table: &str) -> Result<i64, StoreError> {
    let sql = "SELECT COALESCE(pg_sequence_last_value(CAST(pg_get_serial_sequence($1, 'id') AS regclass)), 0)";
    Ok(client.query_one(sql, &[&table]).await?.try_get(0)?)
}

fn postgres_cell<'a>(column: &Column, row: &'a tokio_postgres::Row, place: usize) -> Result<Cell<'a>, tokio_postgres::Error> {
    Ok(match column.kind {
        ColumnKind::Int => row.try_get::<_, Option<i64>>(place)?.map_or(Cell::Null, Cell::Int),
        ColumnKind::Bool => row.try_get::<_, Option<bool>>(place)?.map_or(Cell::Null, Cell::Bool),
        ColumnKind::Text => row.try_get::<_, Option<&str>>(place)?.map_or(Cell::Null, Cell::Text),
        ColumnKind::Bytes => row.try_get::<_, Option<&[u8]>>(place)?.map_or(Cell::Null, Cell::Bytes),
        ColumnKind::Uuid => row.try_get::<_, Option<Uuid>>(place)?.map_or(Cell::Null, Cell::Uuid),
    })
}

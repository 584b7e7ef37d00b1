//! Parameters and rows, alike on both databases.

use bytes::BytesMut;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{IsNull, Type, to_sql_checked};
use uuid::Uuid;

use crate::store::StoreError;

/// A statement's parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID: 16 bytes in SQLite, `uuid` in PostgreSQL.
    Uuid(Uuid),
    /// An array of whole numbers; PostgreSQL alone has it.
    Ints(Vec<i64>),
    /// An array of UUIDs; PostgreSQL alone has it.
    Uuids(Vec<Uuid>),
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $to:expr),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from($it: $from) -> Self { $to }
        }
    )*};
}

value_from! {
    i64 => |it| Self::Int(it),
    bool => |it| Self::Bool(it),
    String => |it| Self::Text(it),
    &str => |it| Self::Text(it.to_owned()),
    &String => |it| Self::Text(it.clone()),
    Vec<u8> => |it| Self::Bytes(it),
    Uuid => |it| Self::Uuid(it),
    Vec<i64> => |it| Self::Ints(it),
    Vec<Uuid> => |it| Self::Uuids(it),
    crate::domain::Timestamp => |it| Self::Int(it.0),
    crate::domain::UserId => |it| Self::Int(it.0),
    crate::domain::SessionId => |it| Self::Uuid(it.0),
    crate::domain::HashedSecret => |it| Self::Bytes(it.0.to_vec()),
    crate::domain::Generation => |it| Self::Bytes(it.0.to_vec()),
    [u8; crate::domain::address::KEY_LENGTH] => |it| Self::Bytes(it.to_vec()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(it: Option<T>) -> Self {
        it.map_or(Self::Null, Into::into)
    }
}

/// Builds the parameter list of a statement.
#[macro_export]
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::store::Value::from($value)),*] };
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Bool(b) => ValueRef::Integer(i64::from(*b)),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Uuid(uuid) => ValueRef::Blob(uuid.as_bytes()),
            Self::Ints(_) | Self::Uuids(_) => {
                return Err(rusqlite::Error::ToSqlConversionFailure("SQLite has no arrays".into()));
            }
        }))
    }
}

impl tokio_postgres::types::ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(n) => n.to_sql(ty, out),
            Self::Bool(b) => b.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
            Self::Uuid(uuid) => uuid.to_sql(ty, out),
            Self::Ints(all) => all.to_sql(ty, out),
            Self::Uuids(all) => all.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// One row of an answer. Columns are read from left to right, each by a call.
pub struct Row<'a> {
    source: Source<'a>,
    next: usize,
}

enum Source<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    pub(in crate::store) fn sqlite(row: &'a rusqlite::Row<'a>) -> Self {
        Self { source: Source::Sqlite(row), next: 0 }
    }

    pub(in crate::store) fn postgres(row: &'a tokio_postgres::Row) -> Self {
        Self { source: Source::Postgres(row), next: 0 }
    }

    fn get<T>(&mut self) -> Result<T, StoreError>
    where
        T: rusqlite::types::FromSql + for<'r> tokio_postgres::types::FromSql<'r>,
    {
        let column = self.next;
        self.next += 1;
        match self.source {
            Source::Sqlite(row) => Ok(row.get(column)?),
            Source::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// The next column, a whole number.
    ///
    /// # Errors
    /// When the column is null or of another type. The same holds for the other methods.
    pub fn int(&mut self) -> Result<i64, StoreError> {
        self.get()
    }

    /// The next column, a whole number or null.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn opt_int(&mut self) -> Result<Option<i64>, StoreError> {
        self.get()
    }

    /// The next column, true or false.
    ///
    /// # Errors
    /// When it is null or of another type.
    pub fn bool(&mut self) -> Result<bool, StoreError> {
        self.get()
    }

    /// The next column, a text.
    ///
    /// # Errors
    /// When it is null or of another type.
    pub fn text(&mut self) -> Result<String, StoreError> {
        self.get()
    }

    /// The next column, a text or null.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn opt_text(&mut self) -> Result<Option<String>, StoreError> {
        self.get()
    }

    /// The next column, bytes.
    ///
    /// # Errors
    /// When it is null or of another type.
    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        self.get()
    }

    /// The next column, bytes or null.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn opt_bytes(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        self.get()
    }

    /// The next column, a UUID.
    ///
    /// # Errors
    /// When it is null or of another type.
    pub fn uuid(&mut self) -> Result<Uuid, StoreError> {
        let column = self.next;
        self.next += 1;
        match self.source {
            Source::Sqlite(row) => Ok(Uuid::from_bytes(row.get(column)?)),
            Source::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// The next column, a UUID or null.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn opt_uuid(&mut self) -> Result<Option<Uuid>, StoreError> {
        let column = self.next;
        self.next += 1;
        match self.source {
            Source::Sqlite(row) => Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes)),
            Source::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// The next column, an instant.
    ///
    /// # Errors
    /// When it is null or of another type.
    pub fn timestamp(&mut self) -> Result<crate::domain::Timestamp, StoreError> {
        self.int().map(crate::domain::Timestamp)
    }

    /// The next column, an address's sort key or null.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn opt_address(&mut self) -> Result<Option<crate::domain::Address>, StoreError> {
        let Some(key) = self.get::<Option<Vec<u8>>>()? else { return Ok(None) };
        crate::domain::Address::from_sort_key(&key).map(Some).ok_or(StoreError::Corrupt("an address key"))
    }

    /// The next column, an address's sort key.
    ///
    /// # Errors
    /// When it is null or no such key.
    pub fn address(&mut self) -> Result<crate::domain::Address, StoreError> {
        let key = self.bytes()?;
        crate::domain::Address::from_sort_key(&key).ok_or(StoreError::Corrupt("an address key"))
    }
}

/// What a row is read into.
pub trait FromRow: Sized + Send {
    /// Reads the columns of one row, from left to right.
    ///
    /// # Errors
    /// When a column is of another type than expected.
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError>;
}

impl FromRow for i64 {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.int()
    }
}

impl FromRow for bool {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.bool()
    }
}

impl FromRow for String {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.text()
    }
}

impl FromRow for Vec<u8> {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.bytes()
    }
}

impl FromRow for Uuid {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.uuid()
    }
}

impl FromRow for crate::domain::SessionId {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        row.uuid().map(Self)
    }
}

impl<A: FromRow, B: FromRow> FromRow for (A, B) {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok((A::from_row(row)?, B::from_row(row)?))
    }
}

impl<A: FromRow, B: FromRow, C: FromRow> FromRow for (A, B, C) {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok((A::from_row(row)?, B::from_row(row)?, C::from_row(row)?))
    }
}

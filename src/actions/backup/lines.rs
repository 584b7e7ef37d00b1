//! The lines of a backup, as text.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::store::Value;
use crate::store::backup::{Cell, Column, ColumnKind, TableHead};

/// The format that this version writes and reads.
pub(super) const FORMAT: u64 = 1;
/// What the skippable frame begins with: its magic number, and the length of a SHA-256, both little-endian.
pub(super) const SEAL_START: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
/// How long the frame is.
pub(super) const SEAL: u64 = 40;

/// The first line of a backup.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The format of the lines: 1.
    pub format: u64,
    /// The version of Rollcall that made it.
    pub version: String,
    /// When, in RFC 3339.
    pub at: String,
    /// The kind of database: `sqlite` or `postgres`.
    pub database: String,
    /// The migrations of the schema.
    pub migrations: Vec<String>,
    /// Whether the instance key is in it.
    pub has_key: bool,
}

/// The line of the instance key.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine {
    pub instance_key: String,
}

/// The line before the rows of a table.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableLine {
    pub table: String,
    /// Names and kinds.
    pub columns: Vec<(String, String)>,
    pub last_id: Option<i64>,
}

impl TableLine {
    pub fn of(head: &TableHead) -> Self {
        let columns = head.columns.iter().map(|column| (column.name.clone(), column.kind.as_str().to_owned())).collect();
        Self { table: head.name.clone(), columns, last_id: head.last_id }
    }

    /// The table; `None` when a kind is none.
    pub fn into_head(self) -> Option<TableHead> {
        let columns = self.columns.into_iter().map(|(name, kind)| Some(Column { name, kind: ColumnKind::parse(&kind)? }));
        Some(TableHead { name: self.table, columns: columns.collect::<Option<_>>()?, last_id: self.last_id })
    }
}

/// The last line.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LastLine {
    /// How many rows each table has.
    pub rows: BTreeMap<String, u64>,
    /// SHA-256 of all lines before, in hexadecimal digits.
    pub sha256: String,
}

/// Adds a line with one row.
///
/// # Errors
/// None that a buffer in memory has.
pub(super) fn push_row(buffer: &mut Vec<u8>, cells: &[Cell<'_>]) -> std::io::Result<()> {
    buffer.push(b'[');
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            buffer.push(b',');
        }
        match cell {
            Cell::Null => buffer.extend_from_slice(b"null"),
            Cell::Int(n) => buffer.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
            Cell::Bool(it) => buffer.extend_from_slice(if *it { b"true" } else { b"false" }),
            Cell::Text(text) => serde_json::to_writer(&mut *buffer, text)?,
            Cell::Bytes(bytes) => {
                buffer.push(b'"');
                let mut encoder = base64::write::EncoderWriter::new(&mut *buffer, &STANDARD);
                encoder.write_all(bytes)?;
                encoder.finish()?;
                drop(encoder);
                buffer.push(b'"');
            }
            Cell::Uuid(uuid) => {
                buffer.push(b'"');
                buffer.extend_from_slice(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
                buffer.push(b'"');
            }
        }
    }
    buffer.extend_from_slice(b"]\n");
    Ok(())
}

/// Reads a line with one row of this table; `None` when it is none.
pub(super) fn read_row(line: &[u8], columns: &[Column]) -> Option<Vec<Value>> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let cells = serde::de::DeserializeSeed::deserialize(RowSeed(columns), &mut reader).ok()?;
    reader.end().ok()?;
    Some(cells)
}

struct RowSeed<'a>(&'a [Column]);

impl<'de> serde::de::DeserializeSeed<'de> for RowSeed<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a row of {} values", self.0.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut cells: A) -> Result<Self::Value, A::Error> {
        let mut row = Vec::with_capacity(self.0.len());
        for column in self.0 {
            let Some(cell) = cells.next_element::<Loose>()? else { return Err(A::Error::custom("a row too short")) };
            row.push(cell.into_value(column.kind).ok_or_else(|| A::Error::custom("a value of another kind"))?);
        }
        match cells.next_element::<serde::de::IgnoredAny>()? {
            None => Ok(row),
            Some(_) => Err(A::Error::custom("a row too long")),
        }
    }
}

/// A value whose kind is not known yet.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Null(()),
    Bool(bool),
    Int(i64),
    Text(String),
}

impl Loose {
    fn into_value(self, kind: ColumnKind) -> Option<Value> {
        Some(match (self, kind) {
            (Self::Null(()), _) => Value::Null,
            (Self::Int(n), ColumnKind::Int) => Value::Int(n),
            (Self::Bool(it), ColumnKind::Bool) => Value::Bool(it),
            (Self::Text(text), ColumnKind::Text) => Value::Text(text),
            (Self::Text(text), ColumnKind::Bytes) => Value::Bytes(STANDARD.decode(text).ok()?),
            (Self::Text(text), ColumnKind::Uuid) => Value::Uuid(Uuid::try_parse(&text).ok()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(kinds: &[ColumnKind]) -> Vec<Column> {
        kinds.iter().map(|kind| Column { name: "c".into(), kind: *kind }).collect()
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        use ColumnKind::{Bool, Bytes, Int, Text, Uuid as Id};
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef);
        let text = "quote \" back \\ line\nnul \0 emoji \u{1f600} \u{2028}";
        let cells =
            [Cell::Int(i64::MIN), Cell::Bool(true), Cell::Text(text), Cell::Bytes(&[0, 255, 7]), Cell::Uuid(uuid), Cell::Null];
        let kinds = columns(&[Int, Bool, Text, Bytes, Id, Text]);
        let mut line = Vec::new();
        push_row(&mut line, &cells).unwrap();
        assert_eq!(line.split(|byte| *byte == b'\n').count(), 2, "one line, and nothing behind its end");
        let expected = vec![
            Value::Int(i64::MIN),
            Value::Bool(true),
            Value::Text(text.into()),
            Value::Bytes(vec![0, 255, 7]),
            Value::Uuid(uuid),
            Value::Null,
        ];
        assert_eq!(read_row(&line, &kinds), Some(expected));
    }

    #[test]
    fn a_row_that_does_not_fit_its_table_is_refused() {
        let kinds = columns(&[ColumnKind::Int, ColumnKind::Bytes]);
        for line in [
            "[1]",
            "[1,\"AA==\",2]",
            "[\"1\",\"AA==\"]",
            "[1,\"A\"]",
            "[1.5,\"AA==\"]",
            "[true,\"AA==\"]",
            "[1,[]]",
            "[1,{}]",
            "{}",
            "",
            "[1,\"AA==\"] x",
            "[9223372036854775808,\"AA==\"]",
        ] {
            assert_eq!(read_row(line.as_bytes(), &kinds), None, "{line}");
        }
        assert!(read_row(b"[1,\"AA==\"]\n", &kinds).is_some());
    }
}

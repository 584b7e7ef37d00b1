//! Writes a backup, line by line.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::actions::backup::BackupError;
use crate::actions::backup::lines::{FORMAT, Head, KeyLine, LastLine, SEAL_START, TableLine, push_row};
use crate::domain::{Timestamp, secret};
use crate::store::backup::{Cell, RowSink, TableHead};

/// zstd's level: 3 compresses these lines about as fast as a database gives them.
const LEVEL: i32 = 3;
/// How many bytes of lines are gathered before they are compressed.
const GATHERED: usize = 128 * 1024;

/// What a backup says of itself.
pub(super) struct About {
    pub at: Timestamp,
    pub database: &'static str,
    /// The instance key as text, if it is to be in it.
    pub key: Option<String>,
}

/// A backup that is being written.
pub(super) struct BackupWriter<W: Write> {
    lines: zstd::Encoder<'static, Hashed<BufWriter<W>>>,
    gathered: Vec<u8>,
    hash: Sha256,
    about: About,
    table: String,
    rows: BTreeMap<String, u64>,
}

/// Bytes on their way, and their hash.
struct Hashed<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> BackupWriter<W> {
    pub fn new(to: W, about: About) -> std::io::Result<Self> {
        let to = Hashed { to: BufWriter::with_capacity(GATHERED, to), hash: Sha256::new() };
        Ok(Self {
            lines: zstd::Encoder::new(to, LEVEL)?,
            gathered: Vec::with_capacity(2 * GATHERED),
            hash: Sha256::new(),
            about,
            table: String::new(),
            rows: BTreeMap::new(),
        })
    }

    fn line(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.gathered, line)?;
        self.gathered.push(b'\n');
        Ok(())
    }

    fn pass_on(&mut self) -> std::io::Result<()> {
        self.hash.update(&self.gathered);
        self.lines.write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }

    /// Writes the last line and the seal. Gives where it was written to, and the number of rows of each table.
    pub fn finish(mut self) -> std::io::Result<(W, BTreeMap<String, u64>)> {
        self.pass_on()?;
        let sha256 = secret::hex(&std::mem::take(&mut self.hash).finalize());
        let rows = std::mem::take(&mut self.rows);
        self.line(&LastLine { rows: rows.clone(), sha256 })?;
        self.pass_on()?;
        let Hashed { mut to, hash } = self.lines.finish()?;
        to.write_all(&SEAL_START)?;
        to.write_all(&hash.finalize())?;
        Ok((to.into_inner().map_err(std::io::IntoInnerError::into_error)?, rows))
    }
}

impl<W: Write + Send + 'static> RowSink for BackupWriter<W> {
    type Error = BackupError;

    fn begin(&mut self, migrations: &[String]) -> Result<(), BackupError> {
        let key = self.about.key.take();
        self.line(&Head {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: self.about.at.to_string(),
            database: self.about.database.to_owned(),
            migrations: migrations.to_vec(),
            has_key: key.is_some(),
        })?;
        if let Some(instance_key) = key {
            self.line(&KeyLine { instance_key })?;
        }
        Ok(())
    }

    fn table(&mut self, head: &TableHead) -> Result<(), BackupError> {
        self.line(&TableLine::of(head))?;
        head.name.clone_into(&mut self.table);
        self.rows.insert(head.name.clone(), 0);
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), BackupError> {
        push_row(&mut self.gathered, cells)?;
        if let Some(count) = self.rows.get_mut(&self.table) {
            *count += 1;
        }
        if self.gathered.len() >= GATHERED {
            self.pass_on()?;
        }
        Ok(())
    }
}

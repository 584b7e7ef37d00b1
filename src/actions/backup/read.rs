//! Reads a backup: all of it is checked before anything is written, and again while it is restored.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::actions::backup::BackupError;
use crate::actions::backup::lines::{FORMAT, Head, KeyLine, LastLine, SEAL, SEAL_START, TableLine, read_row};
use crate::domain::secret;
use crate::keys::InstanceKey;
use crate::store::backup::{Column, Item, RowSource, SAVED};
use crate::store::foreign_schema;

/// The longest line, in bytes: a row of the longest texts that the API takes is far below it.
const LONGEST: u64 = 64 << 20;
/// The largest window of zstd that is read, as a power of two. Backups have 2 MiB.
const WINDOW: u32 = 24;

/// A backup that is being read.
pub struct BackupFile {
    lines: BufReader<zstd::Decoder<'static, Hashed>>,
    /// The SHA-256 of all bytes before the seal, as the seal says.
    sealed: [u8; 32],
    head: Head,
    key: Option<InstanceKey>,
    line: Vec<u8>,
    number: u64,
    hash: Sha256,
    table: Option<(String, Vec<Column>)>,
    rows: BTreeMap<String, u64>,
    is_over: bool,
}

/// The file without its seal, and its hash.
struct Hashed {
    from: BufReader<std::io::Take<File>>,
    hash: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(into)?;
        self.hash.update(into.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl BufRead for Hashed {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.hash.update(self.from.buffer().get(..count).unwrap_or_default());
        self.from.consume(count);
    }
}

/// What a whole backup holds.
#[derive(Debug)]
pub struct Checked {
    /// Its first line.
    pub head: Head,
    /// How many rows each table has.
    pub rows: BTreeMap<String, u64>,
}

/// Reads all of a backup, and gives what it holds.
///
/// # Errors
/// When any bit of it is not as it was written, or this version cannot read it.
pub fn check(path: &Path) -> Result<Checked, BackupError> {
    let mut file = BackupFile::open(path)?;
    while file.next()?.is_some() {}
    Ok(Checked { head: file.head, rows: file.rows })
}

impl BackupFile {
    /// Opens a backup and reads its head.
    ///
    /// # Errors
    /// When the file cannot be read, or its head is not one that this version reads.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        // A FIFO or a device would make the reader wait, and cannot be read twice.
        crate::files::must_be_regular(path)?;
        let mut file = File::open(path)?;
        let length = file.metadata()?.len().checked_sub(SEAL).ok_or(BackupError::Foreign)?;
        let (mut start, mut sealed) = ([0; 8], [0; 32]);
        file.seek(std::io::SeekFrom::Start(length))?;
        file.read_exact(&mut start)?;
        file.read_exact(&mut sealed)?;
        file.rewind()?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic)?;
        if u32::from_le_bytes(magic) != zstd::zstd_safe::MAGICNUMBER {
            return Err(BackupError::Foreign);
        }
        file.rewind()?;
        let from = Hashed { from: BufReader::with_capacity(128 * 1024, file.take(length)), hash: Sha256::new() };
        let mut decoder = zstd::Decoder::with_buffer(from)?;
        decoder.window_log_max(WINDOW)?;
        let mut this = Self {
            lines: BufReader::with_capacity(128 * 1024, decoder),
            sealed,
            head: Head {
                format: 0,
                version: String::new(),
                at: String::new(),
                database: String::new(),
                migrations: Vec::new(),
                has_key: false,
            },
            key: None,
            line: Vec::new(),
            number: 0,
            hash: Sha256::new(),
            table: None,
            rows: BTreeMap::new(),
            is_over: false,
        };
        this.read_head()?;
        if start != SEAL_START {
            // The end is missing, so a line is.
            return Err(this.cut_off());
        }
        Ok(this)
    }

    /// Its first line.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The instance key in it.
    #[must_use]
    pub fn key(&self) -> Option<&InstanceKey> {
        self.key.as_ref()
    }

    /// The number of the line that was read last.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.number
    }

    fn damaged(&self) -> BackupError {
        BackupError::Damaged(self.number.max(1))
    }

    /// Reads what is left of a file without an end, to say at which line it ends.
    fn cut_off(&mut self) -> BackupError {
        while let Ok(true) = self.read_line() {}
        self.damaged()
    }

    /// Reads a line. `false`: there are no more.
    fn read_line(&mut self) -> Result<bool, BackupError> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.lines).take(LONGEST).read_until(b'\n', &mut self.line);
        match read {
            Ok(0) => Ok(false),
            Ok(_) if self.line.last() == Some(&b'\n') => Ok(true),
            // zstd says that it cannot go on by an error of its own, the disk by one of the operating system.
            Err(error) if error.raw_os_error().is_some() => Err(error.into()),
            Ok(_) | Err(_) => Err(self.damaged()),
        }
    }

    fn next_line(&mut self) -> Result<(), BackupError> {
        if self.read_line()? { Ok(()) } else { Err(self.damaged()) }
    }

    fn read_head(&mut self) -> Result<(), BackupError> {
        /// What each format says of itself.
        #[derive(serde::Deserialize)]
        struct Any {
            format: u64,
            version: String,
        }
        self.next_line()?;
        let any: Any = serde_json::from_slice(&self.line).map_err(|_| self.damaged())?;
        if any.format > FORMAT {
            return Err(BackupError::Newer(any.version));
        }
        self.head = serde_json::from_slice(&self.line).map_err(|_| self.damaged())?;
        if foreign_schema(&self.head.migrations).is_some() {
            return Err(BackupError::Newer(any.version));
        }
        self.hash.update(&self.line);
        if self.head.has_key {
            self.next_line()?;
            let key: KeyLine = serde_json::from_slice(&self.line).map_err(|_| self.damaged())?;
            self.key = Some(InstanceKey::from_text(&key.instance_key).ok_or_else(|| self.damaged())?);
            self.hash.update(&self.line);
        }
        Ok(())
    }

    fn begin_table(&mut self) -> Option<Item> {
        let table: TableLine = serde_json::from_slice(&self.line).ok()?;
        let head = table.into_head()?;
        // Each table comes once.
        if !SAVED.contains(&head.name.as_str()) || self.rows.insert(head.name.clone(), 0).is_some() {
            return None;
        }
        self.table = Some((head.name.clone(), head.columns.clone()));
        Some(Item::Table(head))
    }

    fn row(&mut self) -> Option<Item> {
        let (name, columns) = self.table.as_ref()?;
        let row = read_row(&self.line, columns)?;
        *self.rows.get_mut(name)? += 1;
        Some(Item::Row(row))
    }

    /// Compares the last line with what was read, and the seal with the file.
    fn end(&mut self) -> Result<(), BackupError> {
        let last: LastLine = serde_json::from_slice(&self.line).map_err(|_| self.damaged())?;
        let read = secret::hex(&std::mem::take(&mut self.hash).finalize());
        if last.rows != self.rows || last.sha256 != read {
            return Err(self.damaged());
        }
        // Nothing follows the last line, neither compressed nor as bytes.
        let mut rest = [0; 1];
        match self.lines.read(&mut rest) {
            Ok(0) => {}
            Err(error) if error.raw_os_error().is_some() => return Err(error.into()),
            Ok(_) | Err(_) => return Err(self.damaged()),
        }
        let bytes = self.lines.get_mut().get_mut();
        std::io::copy(bytes, &mut std::io::sink())?;
        if std::mem::take(&mut bytes.hash).finalize().as_slice() != self.sealed {
            return Err(self.damaged());
        }
        self.is_over = true;
        Ok(())
    }
}

impl RowSource for BackupFile {
    type Error = BackupError;

    fn next(&mut self) -> Result<Option<Item>, BackupError> {
        if self.is_over {
            return Ok(None);
        }
        self.next_line()?;
        let item = match self.line.as_slice() {
            [b'[', ..] => self.row(),
            line if line.starts_with(b"{\"rows\"") => {
                self.end()?;
                return Ok(None);
            }
            _ => self.begin_table(),
        };
        self.hash.update(&self.line);
        item.map(Some).ok_or_else(|| self.damaged())
    }
}

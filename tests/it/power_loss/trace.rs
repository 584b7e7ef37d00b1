//! What a disk may hold after a loss of power, by what programs wrote and flushed.
//!
//! A disk has for certain what was written to a file before a flush of it began that succeeded. Of
//! what was written since, each sector may be there or not, in any order. The same holds for names:
//! one that was made or removed is certain once its folder was flushed. A flush that failed makes
//! nothing certain, and the system forgets what it was about: no later flush covers that.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::Dice;

/// What a disk writes as a whole.
const SECTOR: usize = 512;
const MAGIC: u32 = 0x4b53_4944;
const HEAD: usize = 32;

/// What is lost of what no flush made certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    All,
    /// Some sectors, by chance.
    Some,
    None,
}

/// All that was recorded.
pub struct Trace(Vec<Record>);

pub struct Record {
    /// The length of the trace with this record.
    pub end: u64,
    inode: u64,
    path: String,
    call: Call,
}

#[derive(Clone, Debug)]
enum Call {
    Create,
    Folder,
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
    SyncBegin(u64),
    SyncEnd(u64),
    SyncFailed(u64),
    Unlink,
    Rename(String),
    Link(String),
    Unknown(String),
}

impl Trace {
    /// Reads records; the last one may be cut.
    pub fn read(mut bytes: &[u8]) -> Self {
        let (mut records, mut end) = (Vec::new(), 0);
        while let Some((record, length)) = Record::read(bytes, end) {
            bytes = &bytes[length..];
            end = record.end;
            records.push(record);
        }
        Self(records)
    }

    /// The records, in their order.
    pub fn records(&self) -> &[Record] {
        &self.0
    }

    /// Its length.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |record| record.end)
    }

    /// How often files with this ending were written from their beginning.
    pub fn starts(&self, suffix: &str) -> usize {
        let starts = |record: &&Record| matches!(record.call, Call::Write { at: 0, .. }) && record.path.ends_with(suffix);
        self.0.iter().filter(starts).count()
    }

    /// How many flushes of files with this ending succeeded.
    pub fn flushes(&self, suffix: &str) -> usize {
        let ended = |record: &&Record| matches!(record.call, Call::SyncEnd(_)) && record.path.ends_with(suffix);
        self.0.iter().filter(ended).count()
    }
}

impl Record {
    fn read(bytes: &[u8], start: u64) -> Option<(Self, usize)> {
        let small = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let large = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let (magic, kind, inode, offset) = (small(0)?, small(4)?, large(8)?, large(16)?);
        assert_eq!(magic, MAGIC, "a record");
        let path_end = HEAD + small(24)? as usize;
        let length = path_end + small(28)? as usize;
        let path = String::from_utf8(bytes.get(HEAD..path_end)?.to_vec()).unwrap();
        let data = bytes.get(path_end..length)?.to_vec();
        let text = |data: Vec<u8>| String::from_utf8(data).unwrap();
        let at = usize::try_from(offset).unwrap_or_default();
        let call = match kind {
            1 => Call::Create,
            2 => Call::Folder,
            3 => Call::Write { at, bytes: data },
            4 => Call::Truncate(at),
            5 => Call::SyncBegin(offset),
            6 => Call::SyncEnd(offset),
            7 => Call::SyncFailed(offset),
            8 => Call::Unlink,
            9 => Call::Rename(text(data)),
            10 => Call::Unknown(text(data)),
            11 => Call::Link(text(data)),
            other => panic!("a record of kind {other}"),
        };
        Some((Self { end: start + length as u64, inode, path, call }, length))
    }
}

/// A change that is not certain yet, and its place among all changes.
#[derive(Clone)]
struct Uncertain<T> {
    number: u64,
    change: T,
}

#[derive(Clone, Default)]
struct File {
    certain: Vec<u8>,
    uncertain: Vec<Uncertain<Call>>,
}

/// A change of a folder: this name is a file, a folder (`None`), or gone.
#[derive(Clone)]
struct Naming {
    folder: String,
    path: String,
    to: Option<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// A disk while programs write to it.
#[derive(Clone)]
pub struct Disk {
    dice: Dice,
    loss: Loss,
    files: Vec<File>,
    /// Which file an inode is now: inodes are used again.
    inodes: HashMap<u64, usize>,
    /// Names as programs see them, and as they are on disk for certain.
    seen: BTreeMap<String, Entry>,
    certain: BTreeMap<String, Entry>,
    uncertain: Vec<Uncertain<Naming>>,
    /// The number of changes when each flush under way began.
    flushes: HashMap<u64, u64>,
    changes: u64,
}

impl Disk {
    /// A disk with what is in a folder now, for certain.
    pub fn with(folder: &Path, loss: Loss, dice: Dice) -> Self {
        let mut this = Self {
            dice,
            loss,
            files: Vec::new(),
            inodes: HashMap::new(),
            seen: BTreeMap::new(),
            certain: BTreeMap::new(),
            uncertain: Vec::new(),
            flushes: HashMap::new(),
            changes: 0,
        };
        this.take(folder, "");
        this.certain = this.seen.clone();
        this
    }

    fn take(&mut self, folder: &Path, within: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = if within.is_empty() { name } else { format!("{within}/{name}") };
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                self.seen.insert(path.clone(), Entry::Folder);
                self.take(&entry.path(), &path);
            } else if !path.ends_with("-shm") {
                let file = self.new_file(metadata.ino());
                self.files[file].certain = std::fs::read(entry.path()).unwrap();
                self.seen.insert(path, Entry::File(file));
            }
        }
    }

    fn new_file(&mut self, inode: u64) -> usize {
        self.files.push(File::default());
        self.inodes.insert(inode, self.files.len() - 1);
        self.files.len() - 1
    }

    /// Does what a program did.
    pub fn apply(&mut self, record: &Record) {
        self.changes += 1;
        let path = &record.path;
        match &record.call {
            Call::Create => {
                let file = self.new_file(record.inode);
                self.name(path, Some(Entry::File(file)));
            }
            Call::Folder => self.name(path, Some(Entry::Folder)),
            Call::Unlink => self.name(path, None),
            Call::Rename(to) => {
                let moved = self.seen.get(path).copied();
                self.name(path, None);
                self.name(to, moved);
            }
            Call::Link(to) => {
                let linked = self.seen.get(path).copied();
                self.name(to, linked);
            }
            Call::Write { .. } | Call::Truncate(_) => {
                let file = *self.inodes.get(&record.inode).unwrap_or_else(|| panic!("a file that was opened: {path}"));
                let change = record.call.clone();
                self.files[file].uncertain.push(Uncertain { number: self.changes, change });
            }
            Call::SyncBegin(flush) => drop(self.flushes.insert(*flush, self.changes)),
            Call::SyncEnd(flush) => self.flushed(record, *flush, Loss::None),
            Call::SyncFailed(flush) => self.flushed(record, *flush, self.loss),
            Call::Unknown(call) => panic!("{call} on {path}: what it does to a disk is not known here"),
        }
    }

    fn name(&mut self, path: &str, to: Option<Entry>) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        set(&mut self.seen, path, to);
        let change = Naming { folder, path: path.to_owned(), to };
        self.uncertain.push(Uncertain { number: self.changes, change });
    }

    /// A flush is over: what it was about is on disk but for this loss, and forgotten.
    fn flushed(&mut self, record: &Record, flush: u64, loss: Loss) {
        let began = self.flushes.remove(&flush).expect("a flush that began");
        if record.path.is_empty() || self.seen.get(&record.path) == Some(&Entry::Folder) {
            let is_covered = |change: &Uncertain<Naming>| change.number < began && change.change.folder == record.path;
            let covered: Vec<_> = self.uncertain.extract_if(.., |change| is_covered(change)).collect();
            settle_names(&mut self.certain, &covered, loss, &mut self.dice);
        } else {
            let file = &mut self.files[self.inodes[&record.inode]];
            let covered: Vec<_> = file.uncertain.extract_if(.., |change| change.number < began).collect();
            settle_bytes(&mut file.certain, &covered, loss, &mut self.dice);
        }
    }

    /// Loses power, and writes what is on the disk then into an empty folder.
    pub fn lose_power(mut self, into: &Path) {
        for folder in self.uncertain.iter().map(|change| change.change.folder.clone()).collect::<std::collections::BTreeSet<_>>() {
            let changes: Vec<_> = self.uncertain.iter().filter(|change| change.change.folder == folder).cloned().collect();
            settle_names(&mut self.certain, &changes, self.loss, &mut self.dice);
        }
        // Folders come before what is in them.
        for (path, entry) in &self.certain {
            match entry {
                Entry::Folder => drop(std::fs::create_dir(into.join(path))),
                Entry::File(file) => {
                    let File { mut certain, uncertain } = self.files[*file].clone();
                    settle_bytes(&mut certain, &uncertain, self.loss, &mut self.dice);
                    // Without its folder, it cannot be found.
                    drop(std::fs::write(into.join(path), certain));
                }
            }
        }
    }
}

fn set(names: &mut BTreeMap<String, Entry>, path: &str, to: Option<Entry>) {
    match to {
        Some(entry) => drop(names.insert(path.to_owned(), entry)),
        None => drop(names.remove(path)),
    }
}

/// Changes of a folder reach the disk in their order; the last ones may be lost.
fn settle_names(names: &mut BTreeMap<String, Entry>, changes: &[Uncertain<Naming>], loss: Loss, dice: &mut Dice) {
    let kept = match loss {
        Loss::All => 0,
        Loss::Some => dice.below(changes.len() + 1),
        Loss::None => changes.len(),
    };
    for Uncertain { change, .. } in &changes[..kept] {
        set(names, &change.path, change.to);
    }
}

/// Changes of a file reach the disk in any order, each sector by itself.
fn settle_bytes(certain: &mut Vec<u8>, changes: &[Uncertain<Call>], loss: Loss, dice: &mut Dice) {
    // From "hardly anything" to "nearly everything", another one each time.
    let chance = match loss {
        Loss::All => return,
        Loss::Some => dice.below(101),
        Loss::None => 100,
    };
    for Uncertain { change, .. } in changes {
        match change {
            Call::Truncate(length) if dice.chance(chance) => certain.resize(*length, 0),
            Call::Write { at, bytes } => {
                let mut done = 0;
                while done < bytes.len() {
                    let start = at + done;
                    let length = (SECTOR - start % SECTOR).min(bytes.len() - done);
                    if dice.chance(chance) {
                        certain.resize(certain.len().max(start + length), 0);
                        certain[start..start + length].copy_from_slice(&bytes[done..done + length]);
                    }
                    done += length;
                }
            }
            _ => {}
        }
    }
}

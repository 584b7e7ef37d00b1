//! Backups: what is in one comes back, on either database; a damaged one is refused; and nothing in between.

mod commands;
mod damage;
mod random;
mod round_trip;
mod running;
mod upgrades;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollcall::actions::backup::{self, BackupError, BackupFile, KeyRule, Made, Options, Restored};
use rollcall::actions::by::By;
use rollcall::config::Config;
use rollcall::store::backup::{Cell, RowSink, TableHead};
use rollcall::store::{Store, StoreError};

use crate::support::app::{NOW, at};

/// All rows of all saved tables: for each table, each row as its columns' names and values.
#[derive(Default)]
struct Rows {
    tables: BTreeMap<String, Vec<String>>,
    heads: Vec<TableHead>,
}

impl RowSink for Rows {
    type Error = StoreError;

    fn begin(&mut self, _: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    fn table(&mut self, head: &TableHead) -> Result<(), StoreError> {
        self.tables.insert(head.name.clone(), Vec::new());
        self.heads.push(head.clone());
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), StoreError> {
        let head = self.heads.last().unwrap();
        let mut named: Vec<String> =
            head.columns.iter().zip(cells).map(|(column, cell)| format!("{}: {cell:?}", column.name)).collect();
        named.sort();
        self.tables.get_mut(&head.name).unwrap().push(named.join(", "));
        Ok(())
    }
}

/// What a database holds, table by table, in an order that depends on the rows alone.
async fn rows(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut tables = store.snapshot(Rows::default()).await.unwrap().tables;
    tables.values_mut().for_each(|rows| rows.sort());
    tables
}

/// The tables of a database, with their columns in the order of their names.
async fn heads(store: &Store) -> Vec<TableHead> {
    let mut heads = store.snapshot(Rows::default()).await.unwrap().heads;
    for head in &mut heads {
        head.columns.sort_by(|a, b| a.name.cmp(&b.name));
    }
    heads
}

/// A database with an up-to-date schema.
async fn open(config: &Config) -> Store {
    let store = Store::open(&config.database, &config.pool).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Makes a backup without the instance key.
async fn make(store: &Store, path: &Path) -> Made {
    let options = Options { key: None, to: Some(path), is_replacing: false };
    backup::make(By::Cli, store, at(NOW), options).await.unwrap()
}

/// Restores a backup without an instance key.
async fn restore(store: &Store, path: &Path, keeps_sessions: bool) -> Result<Restored, BackupError> {
    let file = BackupFile::open(path)?;
    let key = PathBuf::from("/no/such/key");
    backup::restore(By::Cli, store, file, at(NOW), (&key, KeyRule::Stay), keeps_sessions).await
}

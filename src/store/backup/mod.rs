//! All rows of a database, for backups: read in one snapshot, and put back in one transaction. Tables and columns
//! are those that the database has, so that a newer version can save an older schema.

mod fill;
mod read;
mod tables;

pub use fill::{Item, RowSource};
pub use read::{Cell, RowSink};
pub use tables::{Column, ColumnKind, LEFT_OUT, SAVED, TableHead};

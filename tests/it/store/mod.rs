//! What is kept, and what is not.

mod copy;
mod counts;
mod ends_of_many;
mod event_feed;
mod history;
mod import;
mod index;
mod lent;
mod locked_rows;
mod long_reads;
mod model;
mod pending_ends;
mod secrets;
mod sweep;
mod timeline;
mod transactions;

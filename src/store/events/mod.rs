//! Events: the audit record.

pub mod counts;
pub mod feed;
pub mod list;
pub mod objects;
pub mod pages;
pub mod people;
pub mod query;
pub mod rows;

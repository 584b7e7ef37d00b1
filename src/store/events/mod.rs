//! Events: the audit record.

pub mod counts;
pub mod feed;
pub mod list;
pub mod pages;
pub mod query;
pub mod rows;

//! Events: the audit record.

pub mod feed;
pub mod list;
pub mod rows;

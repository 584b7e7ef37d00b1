//! What is known of the sessions of a watched authentik. The rows have no keys of sessions: the check of a cookie reads
//! other tables, so nothing here can let anybody in.

pub mod alerts;
pub mod asked;
pub mod ends;
pub mod instances;
pub mod jobs;
mod list;
pub mod names;
pub(in crate::store) mod page;
pub mod sessions;
pub mod sources;
pub mod users;

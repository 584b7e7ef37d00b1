//! Users: their accounts, passwords, data, and the first administrator; and groups.

pub mod account;
pub(in crate::actions) mod administrators;
pub mod bootstrap;
pub mod changes;
pub mod csv_import;
pub mod groups;
pub mod known;
pub mod passwords;
pub mod privacy;
pub mod service_accounts;
pub mod users;

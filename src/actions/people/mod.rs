//! Users: their accounts, passwords, data, and the first administrator.

pub mod bootstrap;
pub mod passwords;
pub mod privacy;
pub mod users;

//! Applications, their guards and hosts, app sessions, and the applications of app passwords.

pub mod app_sessions;
pub mod cache;
pub mod passwords;
pub mod people;
pub mod rows;

//! Pages for administrators.

pub mod events;
pub mod settings;
pub mod tokens;
pub mod user;
pub mod users;

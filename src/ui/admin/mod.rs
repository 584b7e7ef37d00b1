//! Pages for administrators.

pub(in crate::ui) mod begin;
pub(in crate::ui) mod choices;
pub mod events;
pub mod group;
pub mod group_edit;
pub mod groups;
pub(in crate::ui) mod page_links;
pub mod policy;
pub mod settings;
pub mod tokens;
pub mod user;
pub mod user_edit;
pub mod user_erase;
pub mod user_import;
pub mod users;

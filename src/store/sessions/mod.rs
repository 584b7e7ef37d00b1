//! Sessions and what is kept of ended ones: all SQL that reads or writes them.

pub mod addresses;
pub(in crate::store) mod agent_texts;
pub mod change_log;
pub(in crate::store) mod conditions;
pub mod counts;
pub mod details;
pub mod end;
pub mod end_job;
pub mod facets;
pub mod history;
pub mod history_list;
pub mod history_page;
pub(in crate::store) mod index;
pub mod list;
pub mod locked;
pub(in crate::store) mod memory;
pub mod page;
pub mod pending_end;
pub(in crate::store) mod pending_rows;
pub(in crate::store) mod people;
pub mod rows;
mod sources;
pub mod updates;
pub mod user_agents;

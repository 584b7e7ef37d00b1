//! Watching an authentik: polls its API, keeps the copy of its sessions, and moves those that ended to the history.
//!
//! The rule that everything here keeps: a session counts as ended only when authentik itself said so twice, while
//! it showed a session of somebody else before, between and after (`settle.rs`). All else leaves the copy as it is.

pub mod error;
pub mod poller;
pub mod run;
pub mod search;
mod settle;
pub mod status;
mod walk;

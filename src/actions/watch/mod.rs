//! Watching an authentik: polls its API, keeps the copy of its sessions, moves those that ended to the history, and ends
//! sessions there when somebody asks for it.
//!
//! The rule that everything here keeps: a session counts as ended only when authentik itself said so twice, while
//! it showed a session of somebody else before, between and after (`settle.rs`). All else leaves the copy as it is.

pub mod accept;
mod alerts;
pub mod end;
pub mod error;
mod event_log;
mod gone;
mod identity;
pub mod job;
mod logouts;
pub mod look;
pub mod many;
mod names;
mod outcome;
pub mod poller;
mod record;
pub mod refusal;
pub mod run;
mod running;
pub mod search;
mod settle;
mod sign_ins;
pub mod status;
mod tell;
mod walk;
mod whole_user;

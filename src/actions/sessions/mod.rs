//! Sessions: checks of keys, ends of one or many, writes of uses, retention.

pub mod binding;
pub mod bulk_end;
pub mod check;
pub mod end;
pub(in crate::actions) mod end_in;
pub mod end_job;
pub mod end_jobs;
pub mod end_matching;
pub mod look;
pub mod moves;
pub mod question;
pub mod records;
pub mod retention;
pub mod touch;
pub mod watch;

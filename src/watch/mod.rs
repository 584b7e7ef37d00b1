//! The client of a watched authentik: which requests it may be sent, how they are sent, and how answers are read.
//!
//! [`call`] has the list of all requests. [`client`] sends them, to the one host of the settings. [`answer`] reads
//! answers into types; what they do not name is dropped.

pub mod answer;
pub mod call;
pub mod client;
pub mod error;

pub use client::{Client, Timed};
pub use error::SourceError;

//! The guard: whether a request to an app's host may pass, and tickets that carry a sign-in there.

pub mod check;
pub mod configuration;
pub mod identities;
pub mod identity;
mod password;
pub mod probes;
pub mod recent;
pub mod refusals;
pub mod tickets;

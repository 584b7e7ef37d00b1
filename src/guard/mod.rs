//! The guard: what reverse proxies ask before they pass a request on to an app, and how people sign in to an app's
//! host. docs/guard.md describes it for those who set a proxy up.

pub mod answer;
pub mod callback;
pub mod check;
pub mod cookies;
pub mod go;
mod head;
pub mod hosts;
pub mod places;
mod probe;
pub mod shelter;
pub mod start;
pub mod state;
mod target;

pub use crate::actions::guard::configuration;
pub use hosts::misdirected;
